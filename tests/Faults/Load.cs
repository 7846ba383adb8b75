using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;

namespace Registry.Faults;

/// <summary>Mixed clients: they register, upload, download, change and delete images as fast as they are let, take every
/// failure as it comes, and keep a ledger of what was acknowledged.</summary>
internal sealed class Load : IDisposable
{
    private const int LongestBytes = 30 << 20; // more than one segment of an S3 store
    private static readonly TimeSpan RequestLimit = TimeSpan.FromSeconds(60);
    private readonly byte[] _noise = new byte[LongestBytes + 4096];
    private readonly ConcurrentQueue<(long At, string What)> _failures = [];
    private readonly ConcurrentBag<string> _lies = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _clients;
    private readonly HttpClient[] _servers;
    private readonly Ledger _ledger;
    private readonly int _longest;
    private int _requests;

    /// <summary>Starts the clients.</summary>
    /// <param name="ledger">Where they note what they were told.</param>
    /// <param name="servers">The replicas, used in turn.</param>
    /// <param name="clients">How many.</param>
    /// <param name="seed">Of their choices.</param>
    /// <param name="longest">Most bytes of an image.</param>
    public Load(Ledger ledger, IReadOnlyList<Uri> servers, int clients, int seed, int longest = LongestBytes)
    {
        _ledger = ledger;
        _longest = longest;
        new Random(seed).NextBytes(_noise);
        _servers = [.. servers.Select(
            server => Site.SignIn(new HttpClient { BaseAddress = server, Timeout = RequestLimit }))];
        _clients = [.. Enumerable.Range(0, clients).Select(
            number => Task.Run(() => WorkAsync(new Random(HashCode.Combine(seed, number)))))];
    }

    /// <summary>Requests so far.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Requests that failed or were answered with 5xx, and when (<see cref="Stopwatch.GetTimestamp"/>).</summary>
    public IEnumerable<(long At, string What)> Failures => _failures;

    /// <summary>Requires that no answer was wrong.</summary>
    /// <exception cref="FaultException">One was.</exception>
    public void RequireNoLies()
    {
        if (_lies.TryPeek(out var lie))
        {
            throw new FaultException(lie);
        }
    }

    /// <summary>Has the clients end after the request they are at.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(_servers, server => server.Dispose());
        _stop.Dispose();
    }

    private async Task WorkAsync(Random random)
    {
        var mine = new List<string>();
        while (!_stop.IsCancellationRequested)
        {
            var http = _servers[random.Next(_servers.Length)];
            try
            {
                var choice = mine.Count < 3 ? 0 : random.Next(100);
                Interlocked.Increment(ref _requests);
                await (choice switch
                {
                    < 45 => UploadAsync(http, mine, random),
                    < 70 => DownloadAsync(http, mine[random.Next(mine.Count)]),
                    < 85 => ChangeAsync(http, mine[random.Next(mine.Count)]),
                    _ => DeleteAsync(http, mine, random),
                });
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                _failures.Enqueue((Stopwatch.GetTimestamp(), e.Message));
                await Task.Delay(50, CancellationToken.None);
            }
        }
    }

    private async Task UploadAsync(HttpClient http, List<string> mine, Random random)
    {
        var (content, promise) = Make(random);
        var id = await http.CreateAsync($"load-{Guid.NewGuid()}");
        _ledger.Send(id, promise);
        using var body = random.Next(4) == 0
            ? new SlowBytes(content, TimeSpan.FromMilliseconds(random.Next(20, 200)))
            : (HttpContent)new ReadOnlyMemoryContent(content);
        var status = await http.UploadAsync(id, body);
        if (status == 204)
        {
            if (_ledger.Keep(id, promise))
            {
                mine.Add(id);
            }
        }
        else
        {
            Note(status, "PUT");
        }
    }

    // Mostly small, some of a few MiB, a few of more than one segment.
    private (ReadOnlyMemory<byte> Content, Promise Promise) Make(Random random)
    {
        var most = random.Next(20) switch { < 12 => 256 << 10, < 19 => 3 << 20, _ => LongestBytes };
        var length = random.Next(Math.Min(most, _longest) + 1);
        var content = _noise.AsMemory(random.Next(4096), length);
        return (content, new Promise(Convert.ToHexStringLower(SHA512.HashData(content.Span)), length));
    }

    private async Task DownloadAsync(HttpClient http, string id)
    {
        var digest = await http.DigestAsync(id);
        if (digest.Sha512 != _ledger.Kept[id].Sha512)
        {
            _lies.Add($"{id} was served with other bytes than were sent");
        }
    }

    private async Task ChangeAsync(HttpClient http, string id)
    {
        using var response = await http.PutAsync($"/v2/images/{id}/tags/t{Random.Shared.Next(10)}", null);
        Note((int)response.StatusCode, "tag");
    }

    private async Task DeleteAsync(HttpClient http, List<string> mine, Random random)
    {
        var number = random.Next(mine.Count);
        var id = mine[number];
        mine.RemoveAt(number);
        _ledger.Doom(id);
        using var response = await http.DeleteAsync($"/v2/images/{id}");
        if (response.StatusCode == HttpStatusCode.NoContent)
        {
            _ledger.Lose(id);
        }

        Note((int)response.StatusCode, "DELETE");
    }

    private void Note(int status, string what)
    {
        if (status >= 500)
        {
            _failures.Enqueue((Stopwatch.GetTimestamp(), $"{what}: {status}"));
        }
        else if (status >= 400)
        {
            _lies.Add($"{what} was answered with {status}");
        }
    }
}
