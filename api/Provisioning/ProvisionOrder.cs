using System.Text.Json;
using System.Text.RegularExpressions;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>What the server shall make of an image: a file in a target directory, or a new image.</summary>
/// <param name="ImageId">The image.</param>
/// <param name="Name">The file's, or the new image's.</param>
/// <param name="Format">raw or qcow2.</param>
/// <param name="Size">Bytes of the disk; null for the image's own.</param>
internal sealed partial record ProvisionOrder(string ImageId, string Name, string Format, long? Size)
{
    /// <summary>The target directory; null for a new image.</summary>
    public string? Target { get; init; }

    /// <summary>The store that a new image goes to; null for the default.</summary>
    public string? Store { get; init; }

    /// <summary>The new image's id, once it is registered.</summary>
    public string? NewImageId { get; init; }

    /// <summary>Checks what a client asked for; an empty text was not said.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static ProvisionOrder Of(
        string? imageId, string? target, string? name, string? format, long size, string? store)
    {
        var order = new ProvisionOrder(
            Said(imageId) ?? throw ImageRules.Bad("image_id must be the id of an image."),
            Said(name) ?? throw ImageRules.Bad("name must be said: the file's, or the new image's."),
            Said(format) ?? "raw",
            size == 0 ? null : size)
        {
            Target = Said(target),
            Store = Said(store),
        };
        if (order.Format is not ("raw" or "qcow2"))
        {
            throw ImageRules.Bad($"'{ImageRules.Shown(order.Format)}' is no format of a disk; it must be raw or qcow2.");
        }

        if (size < 0)
        {
            throw ImageRules.Bad("size must be a number of bytes.");
        }

        if (order.Target is not null && order.Store is not null)
        {
            throw ImageRules.Bad("A disk goes to a target or to a store, not to both.");
        }

        return order.Target is null || FileName().IsMatch(order.Name)
            ? order
            : throw ImageRules.Bad(
                "In a target the name must be a file's: letters, digits, '.', '_' and '-', not beginning with '.', at most 200.");
    }

    /// <summary>Reads a request's body.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static ProvisionOrder Read(JsonElement body)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("The body must be an object.");
        }

        foreach (var member in body.EnumerateObject())
        {
            if (member.Name is not ("image_id" or "target" or "name" or "format" or "size" or "store"))
            {
                throw ImageRules.Bad($"'{ImageRules.Shown(member.Name)}' is unknown here.");
            }
        }

        return Of(Text("image_id"), Text("target"), Text("name"), Text("format"), Size(), Text("store"));

        string? Text(string name) => !body.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null
            ? null
            : value.ValueKind == JsonValueKind.String ? value.GetString() : throw ImageRules.Bad($"{name} must be a text.");

        long Size()
        {
            if (!body.TryGetProperty("size", out var value) || value.ValueKind == JsonValueKind.Null)
            {
                return 0;
            }

            try
            {
                return value.ValueKind switch
                {
                    JsonValueKind.Number when value.TryGetInt64(out var bytes) => bytes,
                    JsonValueKind.String => Sizes.Parse(value.GetString()!),
                    _ => throw ImageRules.Bad("size must be a number of bytes, or a text like 12G."),
                };
            }
            catch (FormatException e)
            {
                throw ImageRules.Bad(e.Message);
            }
        }
    }

    private static string? Said(string? text) => string.IsNullOrEmpty(text) ? null : text;

    [GeneratedRegex("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$", RegexOptions.CultureInvariant)]
    private static partial Regex FileName();
}
