namespace Registry.Storage.Domain;

/// <summary>Who is asking, as far as seeing images goes.</summary>
/// <param name="ProjectId">The caller's project; null for a caller without one, who sees what everybody sees.</param>
/// <param name="IsAdmin">Sees and may change everything.</param>
public sealed record Viewer(string? ProjectId, bool IsAdmin)
{
    /// <summary>An administrator outside of any project: the server itself.</summary>
    public static Viewer System { get; } = new(ProjectId: null, IsAdmin: true);

    /// <summary>Whether the caller may change the image: an administrator, or the owning project.</summary>
    /// <remarks>An image without an owner is changed by administrators only.</remarks>
    public bool MayChange(Image image) => IsAdmin || (image.Owner is not null && image.Owner == ProjectId);
}
