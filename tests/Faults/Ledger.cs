using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;

namespace Registry.Faults;

/// <summary>What a client was told of one image.</summary>
/// <param name="Sha512">Of the bytes that were sent.</param>
/// <param name="Length">Of the bytes that were sent.</param>
internal sealed record Promise(string Sha512, long Length)
{
    /// <summary>What an acknowledged upload of these bytes promises.</summary>
    public static Promise Of(byte[] content) =>
        new(Convert.ToHexStringLower(SHA512.HashData(content)), content.Length);
}

/// <summary>What the clients were told, on paper: every line is in the file before the client goes on.</summary>
internal sealed class Ledger : IDisposable
{
    private readonly Lock _writing = new();
    private readonly StreamWriter _paper;
    private volatile bool _isClosed;

    /// <summary>Starts a ledger.</summary>
    public Ledger(string path) => _paper = new StreamWriter(path, append: false) { AutoFlush = true };

    /// <summary>Images whose upload was acknowledged.</summary>
    public ConcurrentDictionary<string, Promise> Kept { get; } = [];

    /// <summary>Images that were registered, whatever became of their upload, and what was or will be sent.</summary>
    public ConcurrentDictionary<string, Promise> Sent { get; } = [];

    /// <summary>Images whose deletion was asked for.</summary>
    public ConcurrentDictionary<string, bool> Doomed { get; } = [];

    /// <summary>Images whose deletion was acknowledged.</summary>
    public ConcurrentDictionary<string, bool> Gone { get; } = [];

    /// <summary>Acknowledgements of every kind.</summary>
    public int Acknowledged => Kept.Count + Gone.Count;

    /// <summary>What is acknowledged from now on does not count: the power is going.</summary>
    public void Close() => _isClosed = true;

    /// <summary>What is acknowledged from now on counts again.</summary>
    public void Reopen() => _isClosed = false;

    /// <summary>An image was registered, and bytes will be sent.</summary>
    public void Send(string id, Promise promise)
    {
        if (!_isClosed)
        {
            Sent[id] = promise;
        }
    }

    /// <summary>An upload was acknowledged.</summary>
    /// <returns>Whether it counts.</returns>
    public bool Keep(string id, Promise promise)
    {
        if (_isClosed)
        {
            return false;
        }

        Write($"kept {id} {promise.Sha512} {promise.Length}");
        Kept[id] = promise;
        return true;
    }

    /// <summary>A deletion is about to be asked for: from now on the image may be there or not.</summary>
    public void Doom(string id)
    {
        Write($"doomed {id}");
        Doomed[id] = true;
    }

    /// <summary>A deletion was acknowledged.</summary>
    public void Lose(string id)
    {
        if (_isClosed)
        {
            return;
        }

        Write($"gone {id}");
        Gone[id] = true;
    }

    /// <summary>Waits until something more was acknowledged, or 20 s.</summary>
    /// <param name="before">Acknowledgements there were before.</param>
    public async Task UntilMoreAsync(int before)
    {
        for (var look = 0; look < 1000 && Acknowledged == before; look++)
        {
            await Task.Delay(20);
        }
    }

    /// <summary>Deletes what was kept so far, so that a long run does not fill the disk.</summary>
    public Task DeleteAllAsync(HttpClient http) => Parallel.ForEachAsync(
        Kept.Keys.Where(id => !Doomed.ContainsKey(id)),
        new ParallelOptions { MaxDegreeOfParallelism = 4 },
        async (id, _) =>
        {
            Doom(id);
            using var response = await http.DeleteAsync($"/v2/images/{id}", CancellationToken.None);
            if (response.StatusCode != HttpStatusCode.NoContent)
            {
                throw new FaultException($"{id} cannot be deleted: {(int)response.StatusCode}");
            }

            Lose(id);
        });

    /// <inheritdoc/>
    public void Dispose() => _paper.Dispose();

    private void Write(FormattableString line)
    {
        lock (_writing)
        {
            _paper.WriteLine(line.ToString(CultureInfo.InvariantCulture));
        }
    }
}
