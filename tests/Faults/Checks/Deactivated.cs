using System.Net;
using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 33 of the bar.</summary>
internal sealed class Deactivated : FaultCheck
{
    private const int Bytes = 300_000;

    private static readonly (string Path, string? Range)[] Ways =
        [("/v2/images/ID/file", null), ("/v2/images/ID/file", "bytes=5-9"), ("/registry/v1/images/ID/disk?format=raw", null)];

    /// <inheritdoc/>
    public override string Name => "deactivated";

    /// <inheritdoc/>
    public override string Description => """
          An image that its owner has just downloaded, from both replicas (embedded: the one server), is deactivated: at once its
          owner is refused with 403, whole, in part and as a disk, on both; an administrator is not. Reactivated, its owner gets the
          same bytes again.
        """;

    /// <inheritdoc/>
    public override int Rounds => 50;

    /// <inheritdoc/>
    public override int SmokeRounds => 2;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var first = await site.StartAsync();
        var second = trial.IsProduction ? await site.StartAsync() : first;
        using var here = Site.ClientOf(first, Site.Member);
        using var there = Site.ClientOf(second, Site.Member);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var content = trial.Bytes(Bytes);
            var id = await here.AddAsync(content);
            await RequireAsync(id, content, [here, there], HttpStatusCode.OK);
            await ActAsync(round % 2 == 0 ? first : second, id, "deactivate");
            await RequireAsync(id, content, [there, here], HttpStatusCode.Forbidden);
            await RequireAsync(id, content, [first.Client, second.Client], HttpStatusCode.OK);
            await ActAsync(round % 2 == 0 ? second : first, id, "reactivate");
            await RequireAsync(id, content, [here, there], HttpStatusCode.OK);
        }

        return $"{trial.Rounds} images, refused at once on {(second == first ? "the server" : "both replicas")} and served again";
    }

    private static async Task ActAsync(RegistryProcess registry, string id, string action)
    {
        using var response = await registry.Client.PostAsync($"/v2/images/{id}/actions/{action}", null);
        if (response.StatusCode != HttpStatusCode.NoContent)
        {
            throw new FaultException($"{action} was answered with {(int)response.StatusCode}");
        }
    }

    private static async Task RequireAsync(
        string id, byte[] content, IReadOnlyList<HttpClient> clients, HttpStatusCode wanted)
    {
        foreach (var client in clients)
        {
            foreach (var (path, range) in Ways)
            {
                using var request = new HttpRequestMessage(
                    HttpMethod.Get, path.Replace("ID", id, StringComparison.Ordinal));
                request.Headers.TryAddWithoutValidation("Range", range);
                using var response = await client.SendAsync(request);
                var got = await response.Content.ReadAsByteArrayAsync();
                var status = response.StatusCode == HttpStatusCode.PartialContent ? HttpStatusCode.OK : response.StatusCode;
                if (status != wanted)
                {
                    throw new FaultException($"GET {path} was answered with {(int)response.StatusCode} instead of {(int)wanted}");
                }

                // A disk ends at a whole sector.
                var expected = range is null ? content : content[5..10];
                if (wanted == HttpStatusCode.OK && !got.AsSpan(0, expected.Length).SequenceEqual(expected))
                {
                    throw new FaultException($"GET {path} served {Convert.ToHexString(SHA256.HashData(got))[..12]}, not the image");
                }
            }
        }
    }
}
