using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>How a ticket's holder opens the disk.</summary>
/// <param name="IsOverlay">Whether it can write to it, over the image.</param>
/// <param name="KeepAs">The name of the new image that the overlay becomes; null for none.</param>
internal sealed record NbdOrder(bool IsOverlay, string? KeepAs)
{
    /// <summary>Reads a request's body; none says nothing.</summary>
    /// <exception cref="RegistryException">BadRequest, and as of <see cref="RequestBody.ReadJsonAsync"/>.</exception>
    public static async Task<NbdOrder> ReadAsync(HttpContext context)
    {
        if (context.Request.ContentLength is not > 0 && context.Request.Headers.TransferEncoding.Count == 0)
        {
            return new NbdOrder(IsOverlay: false, KeepAs: null);
        }

        using var body = await RequestBody.ReadJsonAsync(context);
        return Read(body.RootElement);
    }

    private static NbdOrder Read(JsonElement body)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("The body must be an object.");
        }

        bool? isOverlay = null;
        string? keepAs = null;
        foreach (var member in body.EnumerateObject())
        {
            switch ((member.Name, member.Value.ValueKind))
            {
                case ("overlay", JsonValueKind.True or JsonValueKind.False):
                    isOverlay = member.Value.GetBoolean();
                    break;
                case ("overlay", _):
                    throw ImageRules.Bad("overlay must be true or false.");
                case ("keep_as", JsonValueKind.String):
                    keepAs = member.Value.GetString();
                    break;
                case ("keep_as", _):
                    throw ImageRules.Bad("keep_as must be the name of a new image.");
                default:
                    throw ImageRules.Bad($"'{ImageRules.Shown(member.Name)}' is unknown here.");
            }
        }

        return keepAs is null || isOverlay is not false
            ? new NbdOrder(isOverlay ?? keepAs is not null, keepAs)
            : throw ImageRules.Bad("Only an overlay can be kept.");
    }
}
