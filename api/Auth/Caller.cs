using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Who is asking, as every rule sees it.</summary>
/// <param name="ProjectId">The caller's project; owner of what it creates.</param>
/// <param name="UserId">The caller's user.</param>
/// <param name="IsAdmin">Whether the caller is an administrator.</param>
public sealed record Caller(string? ProjectId, string? UserId, bool IsAdmin)
{
    private static readonly object ItemKey = new();

    /// <summary>The caller as the visibility rules see it.</summary>
    public Viewer Viewer => new(ProjectId, IsAdmin);

    /// <summary>The caller of a request, as established by <see cref="CallerMiddleware"/>.</summary>
    public static Caller Of(HttpContext context) => (Caller)context.Items[ItemKey]!;

    /// <summary>Establishes the caller of a request.</summary>
    internal void Attach(HttpContext context) => context.Items[ItemKey] = this;

    /// <summary>Refuses with Forbidden unless the caller may change the image.</summary>
    public void RequireModify(Image image)
    {
        if (!Viewer.MayChange(image))
        {
            throw new RegistryException(ErrorCode.Forbidden, "You are not permitted to modify this image.");
        }
    }
}
