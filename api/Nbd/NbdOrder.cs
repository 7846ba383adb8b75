using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>How a ticket's holder opens the disk.</summary>
/// <param name="IsOverlay">Whether it can write to it, over the image.</param>
internal sealed record NbdOrder(bool IsOverlay)
{
    /// <summary>Reads a request's body; none says nothing.</summary>
    /// <exception cref="RegistryException">BadRequest, and as of <see cref="RequestBody.ReadJsonAsync"/>.</exception>
    public static async Task<NbdOrder> ReadAsync(HttpContext context)
    {
        if (context.Request.ContentLength is not > 0 && context.Request.Headers.TransferEncoding.Count == 0)
        {
            return new NbdOrder(IsOverlay: false);
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

        var order = new NbdOrder(IsOverlay: false);
        foreach (var member in body.EnumerateObject())
        {
            order = (member.Name, member.Value.ValueKind) switch
            {
                ("overlay", JsonValueKind.True or JsonValueKind.False) =>
                    order with { IsOverlay = member.Value.GetBoolean() },
                ("overlay", _) => throw ImageRules.Bad("overlay must be true or false."),
                _ => throw ImageRules.Bad($"'{ImageRules.Shown(member.Name)}' is unknown here."),
            };
        }

        return order;
    }
}
