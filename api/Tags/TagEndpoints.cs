using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Tags;

/// <summary>PUT and DELETE /v2/images/{id}/tags/{tag}.</summary>
public static class TagEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapTags(this IEndpointRouteBuilder v2)
    {
        v2.MapPut("/images/{id}/tags/{tag}", AddAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/images/{id}/tags/{tag}", RemoveAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    // A slash stays encoded in a path segment: such a tag has no address.
    private static string Tag(string segment) => segment.Contains("%2F", StringComparison.OrdinalIgnoreCase)
        ? throw new RegistryException(ErrorCode.NotFound, "The resource could not be found.")
        : segment;

    private static async Task AddAsync(HttpContext context, string id, string tag, ImageCommands commands)
    {
        await commands.AddTagAsync(Caller.Of(context), id, Tag(tag), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task RemoveAsync(HttpContext context, string id, string tag, ImageCommands commands)
    {
        await commands.RemoveTagAsync(Caller.Of(context), id, Tag(tag), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
