using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Registry.Api.Tests.Import;

namespace Registry.Api.Tests.Federation;

/// <summary>The image service of another region, with one image.</summary>
/// <remarks>As Glance does, it answers parts, but has nothing to tell by whether they are of the same bytes.</remarks>
internal sealed class OtherRegion : IAsyncDisposable
{
    /// <summary>Id of its image.</summary>
    public const string ImageId = "91111111-2222-4333-8444-000000000001";

    /// <summary>Starts it.</summary>
    public OtherRegion()
    {
        new Random(5).NextBytes(Content);
        Image = new()
        {
            ["id"] = ImageId,
            ["status"] = "active",
            ["name"] = "theirs",
            ["owner"] = "somebody",
            ["disk_format"] = "raw",
            ["container_format"] = "bare",
            ["size"] = Content.Length,
            ["checksum"] = Convert.ToHexStringLower(MD5.HashData(Content)),
            ["os_hash_algo"] = "sha512",
            ["os_hash_value"] = Convert.ToHexStringLower(SHA512.HashData(Content)),
            ["os_hidden"] = false,
            ["hw_machine_type"] = "q35",
            ["trait:HW_CPU_X86_AVX2"] = "required",
            ["os_distro"] = "debian",
            ["owner_specified.x"] = "y",
            ["os_glance_importing_to_stores_x"] = "y",
            ["architecture"] = "x86_64",
        };
        Source.Answer = (head, stream) => AnswerAsync(head, stream);
    }

    /// <summary>The server.</summary>
    public WebSource Source { get; } = new();

    /// <summary>Its address for the catalogue.</summary>
    public string Url => $"http://127.0.0.1:{Source.Port}/image";

    /// <summary>Bytes of its image.</summary>
    public byte[] Content { get; } = new byte[1_200_000];

    /// <summary>What it says of its image.</summary>
    public Dictionary<string, object?> Image { get; }

    /// <summary>Answers a request.</summary>
    /// <param name="head">The request.</param>
    /// <param name="stream">Where the answer goes.</param>
    /// <param name="breakAfter">Bytes of the image at most, after which the connection breaks.</param>
    public async Task AnswerAsync(string head, Stream stream, int breakAfter = int.MaxValue)
    {
        if (!head.StartsWith($"GET /image/v2/images/{ImageId}", StringComparison.Ordinal))
        {
            await RefuseAsync(stream, 404);
            return;
        }

        var isFile = head.Contains("/file ", StringComparison.Ordinal);
        var body = isFile ? Content : JsonSerializer.SerializeToUtf8Bytes(Image);
        var range = isFile && WebSource.Header(head, "Range") is { } text ? RangeHeaderValue.Parse(text) : null;
        var from = (int)(range?.Ranges.Single().From ?? 0);
        var first = range is null
            ? "HTTP/1.1 200 OK\r\n"
            : $"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{body.Length - 1}/{body.Length}\r\n";
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"{first}Content-Length: {body.Length - from}\r\nConnection: close\r\n\r\n"));
        await stream.WriteAsync(body.AsMemory(from, isFile ? Math.Min(breakAfter, body.Length - from) : body.Length));
    }

    /// <summary>Answers that it will not.</summary>
    public static Task RefuseAsync(Stream stream, int status) => stream.WriteAsync(Encoding.ASCII.GetBytes(
        $"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).AsTask();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Source.DisposeAsync();
}
