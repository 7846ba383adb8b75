using System.Text;
using System.Text.Json;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>What an unfinished disk says of itself: what it is to become, and how far it is.</summary>
/// <param name="Image">Id of the image.</param>
/// <param name="Digest">The image's digest, shortened.</param>
/// <param name="Format">raw or qcow2.</param>
/// <param name="Size">Bytes of the disk that were asked for; 0 for the image's own.</param>
/// <param name="Offset">First guest byte that is still missing.</param>
internal sealed record ProvisionMark(string Image, string Digest, string Format, long Size, long Offset)
{
    private const int DigestDigits = 32;
    private const string Magic = "registry: an unfinished disk\n";

    /// <summary>What the disk of an image is to become.</summary>
    /// <param name="id">Id of the image.</param>
    /// <param name="digest">The image's digest.</param>
    /// <param name="format">raw or qcow2.</param>
    /// <param name="size">Bytes of the disk; 0 for the image's own.</param>
    public static ProvisionMark Of(string id, string digest, string format, long size) =>
        new(id, Shorten(digest), format, size, 0);

    /// <summary>The part of a digest that tells images apart.</summary>
    public static string Shorten(string digest) => digest[..Math.Min(DigestDigits, digest.Length)];

    /// <summary>Reads a mark; null where there is none.</summary>
    public static ProvisionMark? Parse(ReadOnlySpan<byte> sector)
    {
        var text = Encoding.UTF8.GetString(sector).TrimEnd('\0');
        if (!text.StartsWith(Magic, StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize<ProvisionMark>(text.AsSpan(Magic.Length)) is { Offset: >= 0 } mark
                ? mark
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>The mark as bytes, at most <see cref="UnfinishedTarget.MarkBytes"/>.</summary>
    public byte[] ToBytes() => Encoding.UTF8.GetBytes(Magic + JsonSerializer.Serialize(this));
}
