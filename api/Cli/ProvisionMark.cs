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
    private const int CodeDigits = 64;
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

    /// <summary>Reads a mark.</summary>
    /// <param name="sector">The first bytes of the target.</param>
    /// <param name="key">The key that it must have been made with.</param>
    /// <param name="target">What identifies the target.</param>
    /// <returns>Null where there is none that a run of this user made in this target.</returns>
    public static ProvisionMark? Parse(ReadOnlySpan<byte> sector, ResumeKey key, string target)
    {
        var text = Encoding.UTF8.GetString(sector).TrimEnd('\0');
        if (!text.StartsWith(Magic, StringComparison.Ordinal) || text.Length < Magic.Length + CodeDigits)
        {
            return null;
        }

        var (code, json) = (text.Substring(Magic.Length, CodeDigits), text[(Magic.Length + CodeDigits)..]);
        if (!key.IsSigned(json, target, code))
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize<ProvisionMark>(json) is { Offset: >= 0 } mark ? mark : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Returns the mark as bytes, at most <see cref="UnfinishedTarget.MarkBytes"/>.</summary>
    /// <param name="key">The key that authenticates it.</param>
    /// <param name="target">What identifies the target.</param>
    public byte[] ToBytes(ResumeKey key, string target)
    {
        var json = JsonSerializer.Serialize(this);
        return Encoding.UTF8.GetBytes(Magic + key.Sign(json, target) + json);
    }
}
