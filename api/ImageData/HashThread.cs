using System.Security.Cryptography;

namespace Registry.Api.ImageData;

/// <summary>Computes one digest of an upload on a thread of its own.</summary>
/// <remarks>A digest is a chain that no second core can help with, and MD5 and SHA-512 are what bounds an upload: each
/// gets a thread, so that they run side by side and never hold a thread of the request pool. The thread waits without
/// spinning: the cores are for the other digests.</remarks>
internal sealed class HashThread : IDisposable
{
    private readonly IncrementalHash _hash;
    private readonly Queue<Chunk> _queue = [];
    private readonly TaskCompletionSource<string> _digest = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _isComplete;

    /// <summary>Starts the thread.</summary>
    public HashThread(HashAlgorithmName algorithm)
    {
        _hash = IncrementalHash.CreateHash(algorithm);
        new Thread(Run) { IsBackground = true, Name = "hash " + algorithm.Name }.Start();
    }

    /// <summary>Hands over the next chunk. How many are waiting is bounded by the upload's buffers.</summary>
    public void Add(Chunk chunk)
    {
        lock (_queue)
        {
            _queue.Enqueue(chunk);
            Monitor.Pulse(_queue);
        }
    }

    /// <summary>Says that no more chunks come.</summary>
    /// <returns>The digest in lower-case hex, once the queue is worked off.</returns>
    public Task<string> FinishAsync()
    {
        Dispose();
        return _digest.Task;
    }

    /// <summary>Lets the thread end once its queue is worked off.</summary>
    public void Dispose()
    {
        lock (_queue)
        {
            _isComplete = true;
            Monitor.Pulse(_queue);
        }
    }

    private void Run()
    {
        while (TakeNext() is { } chunk)
        {
            _hash.AppendData(chunk.Bytes.Span);
            chunk.Release();
        }

        _digest.SetResult(Convert.ToHexStringLower(_hash.GetHashAndReset()));
        _hash.Dispose();
    }

    private Chunk? TakeNext()
    {
        lock (_queue)
        {
            while (_queue.Count == 0 && !_isComplete)
            {
                Monitor.Wait(_queue);
            }

            return _queue.TryDequeue(out var chunk) ? chunk : null;
        }
    }
}
