using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Faults.Checks;

/// <summary>Check 34 of the bar.</summary>
internal sealed class JsonBombs : FaultCheck
{
    private const int AtOnce = 4;
    private const long MostKiB = 50_000_000 / 1024;
    private static readonly TimeSpan SlowestAnswer = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    public override string Name => "json-bombs";

    /// <inheritdoc/>
    public override string Description => """
          Deep, long, repetitive and broken JSON and patches, with their length and in chunks, one after another and then all of them
          four times at once: each is refused with 4xx, changes nothing, and (in a full run) takes no more than 1 s; the server never
          has more than 50 MB more than it had under ordinary requests.
        """;

    /// <inheritdoc/>
    public override int Rounds => 20;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override bool OnProduction => false; // what clients send is judged before any of it is stored

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var registry = await site.StartAsync();
        var id = await registry.Client.CreateAsync("before");
        await WarmUpAsync(registry);
        var before = (Show: $"{await registry.Client.ShowAsync(id)}", Images: await site.CountAsync("select count(*) from images"));
        var resident = registry.Status("VmRSS");
        await File.WriteAllTextAsync($"/proc/{registry.Id}/clear_refs", "5"); // VmHWM begins anew
        var (slowest, slowestName) = (TimeSpan.Zero, "");
        for (var round = 0; round < trial.Rounds; round++)
        {
            foreach (var isChunked in new[] { false, true })
            {
                foreach (var bomb in JsonBomb.All)
                {
                    var began = Stopwatch.GetTimestamp();
                    await SendAsync(registry, bomb, id, isChunked);
                    var elapsed = Stopwatch.GetElapsedTime(began);
                    (slowest, slowestName) = elapsed > slowest ? (elapsed, bomb.Name) : (slowest, slowestName);
                }
            }

            await Task.WhenAll(Enumerable.Repeat(JsonBomb.All, AtOnce).SelectMany(all => all)
                .Select((bomb, number) => SendAsync(registry, bomb, id, isChunked: number % 2 == 0)));
        }

        var more = registry.Status("VmHWM") - resident;
        var after = (Show: $"{await registry.Client.ShowAsync(id)}", Images: await site.CountAsync("select count(*) from images"));
        if (before != after)
        {
            throw new FaultException($"something changed: {before} became {after}");
        }

        if (more > MostKiB)
        {
            throw new FaultException($"the server grew by {more} KiB");
        }

        if (trial.Rounds >= Rounds && slowest > SlowestAnswer)
        {
            throw new FaultException($"{slowestName}: answered after {slowest.TotalSeconds:F2} s");
        }

        var count = trial.Rounds * JsonBomb.All.Count * (2 + AtOnce);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{count} bombs refused, the slowest after {slowest.TotalMilliseconds:F0} ms ({slowestName}), {more >> 10} MiB more");
    }

    // What any load makes the server take is no bomb's: bodies as large as there may be, and changes.
    private static async Task WarmUpAsync(RegistryProcess registry)
    {
        var properties = string.Concat(Enumerable.Range(0, 120).Select(i => $",\"p{i}\":\"{new string('x', 8000)}\""));
        for (var i = 0; i < 40; i++)
        {
            using var large = new StringContent(
                $"{{\"name\":\"image {i}\"{properties}}}", Encoding.UTF8, "application/json");
            using var created = await registry.Client.PostAsync("/v2/images", large);
            created.EnsureSuccessStatusCode();
            var id = await registry.Client.CreateAsync($"small image {i}");
            using var patch = new StringContent(
                """[{"op":"replace","path":"/name","value":"patched"}]""", Encoding.UTF8);
            patch.Headers.ContentType = new("application/openstack-images-v2.1-json-patch");
            using var patched = await registry.Client.PatchAsync($"/v2/images/{id}", patch);
            patched.EnsureSuccessStatusCode();
            (await registry.Client.GetAsync("/v2/images")).Dispose();
        }
    }

    // By hand: an answer that comes while the body is sent has to be heard.
    private static async Task SendAsync(RegistryProcess registry, JsonBomb bomb, string id, bool isChunked)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(registry.Url.Host, registry.Url.Port);
        var (verb, mediaType) = bomb.IsPatch
            ? ($"PATCH /v2/images/{id}", "application/openstack-images-v2.1-json-patch")
            : ("POST /v2/images", "application/json");
        var length = isChunked
            ? $"Transfer-Encoding: chunked\r\n\r\n{bomb.Body.Length:x}"
            : $"Content-Length: {bomb.Body.Length}\r\n";
        var head = $"{verb} HTTP/1.1\r\nHost: {registry.Url.Authority}\r\nContent-Type: {mediaType}\r\n" +
            $"X-Auth-Token: {Site.Operator}\r\nConnection: close\r\n{length}\r\n";
        var tail = !isChunked ? "" : bomb.Body.Length > 0 ? "\r\n0\r\n\r\n" : "\r\n";
        var sending = SendAsync(socket, [.. Encoding.ASCII.GetBytes(head), .. bomb.Body, .. Encoding.ASCII.GetBytes(tail)]);
        var answer = new byte[12];
        var received = 0;
        for (int read; received < answer.Length && (read = await socket.ReceiveAsync(answer.AsMemory(received))) > 0;)
        {
            received += read;
        }

        socket.Close();
        await sending;
        var status = Encoding.ASCII.GetString(answer, 0, received);
        if (status != $"HTTP/1.1 {bomb.Status}")
        {
            throw new FaultException($"{bomb.Name}{(isChunked ? ", in chunks," : "")} was answered with '{status}', not {bomb.Status}");
        }
    }

    private static async Task SendAsync(Socket socket, byte[] request)
    {
        try
        {
            for (var sent = 0; sent < request.Length;)
            {
                sent += await socket.SendAsync(request.AsMemory(sent));
            }
        }
        catch (Exception refused) when (refused is SocketException or ObjectDisposedException)
        {
            return; // before it was all sent
        }
    }
}
