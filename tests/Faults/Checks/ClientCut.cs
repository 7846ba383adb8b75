using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace Registry.Faults.Checks;

/// <summary>Check 9 of the bar.</summary>
internal sealed class ClientCut : FaultCheck
{
    private const int Stated = 30_000_000;
    private static readonly TimeSpan Arrives = TimeSpan.FromMilliseconds(500); // an upload begins with its first byte
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => "client-cut";

    /// <inheritdoc/>
    public override string Description => """
          A client states 30,000,000 bytes, sends 0, 1, 65,535, 65,536, 5,242,879 or 20,000,000 of them and is gone. Within 10 s
          the image is queued, nothing is left in the store, and the same image takes its upload.
        """;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        using var ledger = new Ledger(Path.Combine(site.Scratch, "acknowledged"));
        var invariants = new Invariants(site, ledger);
        var registry = await site.StartAsync();
        var http = registry.Client;
        var slowest = TimeSpan.Zero;
        int[] cuts = [0, 1, 65_535, 65_536, 5_242_879, 20_000_000];
        foreach (var cut in cuts)
        {
            var id = await http.CreateAsync($"cut at {cut}");
            await SendPartAsync(registry.Url, id, trial.Bytes(cut), () => cut > 0 ? BegunAsync(trial, http, id) : Task.Delay(Arrives));
            var waited = Stopwatch.StartNew();
            while (await http.StatusAsync(id) != "queued"
                || (await site.ListAsync()).Any(f => f.Name.Contains(id, StringComparison.Ordinal)))
            {
                if (waited.Elapsed > trial.Within(Limit))
                {
                    throw new FaultException(
                        $"{waited.Elapsed.TotalSeconds:F0} s after a cut at {cut} the image is " +
                        $"{await http.StatusAsync(id)}, and the store has " +
                        $"{(await site.ListAsync()).Count(f => f.Name.Contains(id, StringComparison.Ordinal))} files of it");
                }

                await Task.Delay(20);
            }

            slowest = slowest > waited.Elapsed ? slowest : waited.Elapsed;
            var content = trial.Bytes(100_000);
            if (await http.UploadAsync(id, content) is var status and not 204)
            {
                throw new FaultException($"after a cut at {cut} the upload is answered with {status}");
            }

            ledger.Keep(id, Promise.Of(content));
        }

        await invariants.RequireAsync(registry);
        return $"{cuts.Length} cuts, clean within {slowest.TotalSeconds:F1} s";
    }

    // Looked at too early, the image is queued because the request has not arrived yet.
    private static async Task BegunAsync(Trial trial, HttpClient http, string id)
    {
        var waited = Stopwatch.StartNew();
        while (await http.StatusAsync(id) == "queued")
        {
            if (waited.Elapsed > trial.Within(Limit))
            {
                throw new FaultException($"{waited.Elapsed.TotalSeconds:F0} s after its head was sent the upload has not begun");
            }

            await Task.Delay(20);
        }
    }

    private static async Task SendPartAsync(Uri server, string id, byte[] part, Func<Task> begun)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(server.Host, server.Port);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"PUT /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n" +
            $"X-Auth-Token: {Site.Operator}\r\nContent-Length: {Stated}\r\n\r\n"));
        await stream.WriteAsync(part);
        await begun();
        client.Client.LingerState = new LingerOption(true, 0);
    }
}
