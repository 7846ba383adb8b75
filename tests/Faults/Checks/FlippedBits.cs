using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Bits that flip on the two wires: registry to store, and command line to registry.</summary>
internal sealed class FlippedBits : FaultCheck
{
    private const int SegmentBytes = 24 << 20;

    /// <inheritdoc/>
    public override string Name => "flipped-bits";

    /// <inheritdoc/>
    public override string Description => """
          One bit is turned, once or on every try: between registry and store in the body or the head of a PUT of a segment, an index
          segment, the record or the mark of an upload (production); between command line and registry in the bytes of push, pull
          and provision (raw, qcow2, thin). What is acknowledged, or ends with exit code 0, has the right bytes; what does not
          says why, and the same works when the flips stop.
        """;

    /// <inheritdoc/>
    public override int Rounds => 50;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        site.Settings["Registry__Stores__0__Silence"] = "00:00:02";
        site.Settings["Registry__Stores__0__Deadline"] = "00:00:08";
        var port = Ports.Free();
        await using var grpc = new TcpGate(new Uri($"http://127.0.0.1:{port}"));
        site.Settings["Registry__Endpoints__Grpc"] = $"http://127.0.0.1:{port}";
        site.Settings["Registry__PublicGrpcEndpoint"] = grpc.Address.GetLeftPart(UriPartial.Authority);
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var registry = await site.StartAsync();
        await using var http = new TcpGate(registry.Url);
        var said = site is ProductionSite production
            ? await FlipUploadsAsync(trial, production, registry, ledger) + "; "
            : "";
        said += await new FlippedCommands(trial, site, registry, http, grpc, ledger).RunAsync();
        await new Invariants(site, ledger).RequireAsync(registry);
        return said;
    }

    private static async Task<string> FlipUploadsAsync(
        Trial trial, ProductionSite site, RegistryProcess registry, Ledger ledger)
    {
        var (flips, acknowledged, refused) = (0, 0, 0);
        for (var round = 0; round < trial.Rounds; round++)
        {
            var length = trial.IsSmoke || trial.Random.Next(3) > 0
                ? 1 + trial.Random.Next(4 << 20)
                : SegmentBytes + 1 + trial.Random.Next(1 << 20);
            var content = trial.Bytes(length);
            var id = await registry.Client.CreateAsync($"flipped-{round}");
            var before = site.StoreGate.Flips;
            var flip = Flip(trial, length > SegmentBytes);
            var isLasting = trial.Random.Next(2) == 0;
            site.StoreGate.Harm(new GateFault { FlipRequest = flip, Times = isLasting ? int.MaxValue : 1 });
            var status = await registry.Client.UploadAsync(id, content);
            var flipped = site.StoreGate.Flips - before;
            site.StoreGate.Up();
            if (flipped == 0)
            {
                throw new FaultException($"no bit was turned by {flip}");
            }

            flips += flipped;
            if (status == 204)
            {
                acknowledged++;
                if (isLasting && flip.HeadBack == 0)
                {
                    throw new FaultException($"an upload was acknowledged though {flip} never stopped");
                }
            }
            else
            {
                refused++;
                if (!isLasting && flip.HeadBack == 0)
                {
                    throw new FaultException($"one flip, {flip}, failed the upload with {status}");
                }

                status = await registry.Client.UploadAsync(id, content);
                if (status != 204)
                {
                    throw new FaultException($"after {flip} the upload is answered with {status}");
                }
            }

            var digest = await registry.Client.DigestAsync(id);
            if (digest.Sha512 != Convert.ToHexStringLower(SHA512.HashData(content)))
            {
                throw new FaultException($"wrong bytes were acknowledged after {flip}");
            }

            ledger.Keep(id, Promise.Of(content));
        }

        return $"{trial.Rounds} uploads met {flips} flips on the way to the store: {acknowledged} acknowledged with the right "
            + $"bytes, {refused} refused and right when sent again";
    }

    private static RequestFlip Flip(Trial trial, bool hasMore)
    {
        string[] names = hasMore
            ? ["/data.0?", "/data.1?", "/index.0?", "/blob?", "/upload?"]
            : ["/data.0?", "/index.0?", "/blob?", "/upload?"];
        var name = names[trial.Random.Next(names.Length)];
        var bit = (byte)(1 << trial.Random.Next(8));
        if (name == "/upload?" || trial.Random.Next(5) == 0)
        {
            return new RequestFlip($"PUT {name}", 0, 1 + trial.Random.Next(500), bit);
        }

        var share = trial.Random.Next(4) switch { 0 => 0, 1 => 1, _ => trial.Random.NextDouble() };
        return new RequestFlip($"PUT {name}", share, 0, bit);
    }
}
