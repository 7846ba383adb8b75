using Registry.Api.Memory;
using Registry.Engine.Convert;
using Registry.Storage.Domain;
using Registry.Storage.Memory;

namespace Registry.Api.Provisioning;

/// <summary>How much each of the disks that are read at once may have on its way from the store: long reads while there
/// are few, short ones when there are many, so that memory hardly grows with their number.</summary>
/// <remarks>Each reader holds what it needs at least of the process's memory, waiting for it where it is short, and one of the
/// <see cref="ByteShares"/>.</remarks>
internal sealed class ReadShares
{
    private const int TogetherBytes = 32 << 20;
    private const int LongestRead = 8 << 20;
    private const int ShortestRead = 128 << 10;
    private const int ParallelismMax = 2; // rather long reads than many: each costs the store a request

    // The least share as it is read, as it waits for its turn and as it is sent is 0.4 MiB; an open disk keeps parts of its
    // index and of its tables besides.
    private const int ReaderBytes = 2 << 20;

    private readonly ProcessMemory _memory;
    private readonly ByteShares _bytes;
    private int _waiting;

    /// <summary>Divides a process's memory for disks.</summary>
    public ReadShares(ProcessMemory memory)
    {
        _memory = memory;
        _bytes = new ByteShares(
            Math.Min(TogetherBytes, memory.Disks.Bytes), [16 << 20, 4 << 20, 1 << 20, ShortestRead], memory.Disks);
    }

    /// <summary>How many wait for a place.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Opens what is to be read as soon as there is a place, and not before: an open disk keeps parts of its index,
    /// and those who wait may be many.</summary>
    /// <typeparam name="T">What is opened.</typeparam>
    /// <param name="open">Opens it.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="most">Bytes that will be read in all, where that is known to be little.</param>
    /// <param name="projectId">The project of the client that reads; null for a job.</param>
    /// <exception cref="RegistryException">Busy: no place became free in time.</exception>
    public async ValueTask<Reading<T>> OpenAsync<T>(
        Func<ValueTask<T>> open, CancellationToken cancellationToken, int most = TogetherBytes, string? projectId = null)
        where T : IAsyncDisposable
    {
        var share = await JoinAsync(cancellationToken, most, projectId);
        try
        {
            return new Reading<T>(await open(), share);
        }
        catch
        {
            share.Dispose();
            throw;
        }
    }

    /// <summary>Joins the readers, as soon as there is a place, for a part of what stays open: dispose the share when it has
    /// been read, and hold no other one meanwhile.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="most">Bytes that will be read in all, where that is known to be little.</param>
    /// <param name="projectId">The project of the client that reads; null for a job, and for a read that clients
    /// share.</param>
    /// <exception cref="RegistryException">Busy: no place became free in time.</exception>
    public async ValueTask<Share> JoinAsync(
        CancellationToken cancellationToken, int most = TogetherBytes, string? projectId = null)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            return new Share(
                this, await _memory.TakeAsync(_memory.Disks, projectId, ReaderBytes, cancellationToken), most);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    /// <summary>What is open, and its reader's part, which is given back when it is closed.</summary>
    /// <typeparam name="T">What is open.</typeparam>
    /// <param name="Open">It.</param>
    /// <param name="Share">The part; no other one is held meanwhile.</param>
    internal sealed record Reading<T>(T Open, Share Share) : IAsyncDisposable
        where T : IAsyncDisposable
    {
        /// <inheritdoc/>
        public async ValueTask DisposeAsync()
        {
            using (Share)
            {
                await Open.DisposeAsync();
            }
        }
    }

    /// <summary>One reader's part.</summary>
    internal sealed class Share : IDisposable
    {
        private readonly ReadShares _shares;
        private readonly MemoryShare _place;
        private readonly int _most;
        private int _bytes;
        private bool _isLeft;

        internal Share(ReadShares shares, MemoryShare place, int most)
        {
            (_shares, _place, _most) = (shares, place, most);
            Renew();
        }

        /// <summary>How its disk is to be read.</summary>
        public DiskReadOptions Options { get; private set; } = DiskReadOptions.Default;

        /// <summary>Exchanges the share for one of the size that is right now: between the steps of a disk, so that who
        /// came first makes room for who came since.</summary>
        public void Renew()
        {
            _bytes = _shares._bytes.Exchange(_bytes, _most);
            var parallelism = Math.Clamp(_bytes / ShortestRead, 1, ParallelismMax);
            Options = DiskReadOptions.Default with
            {
                MaxRangeBytes = Math.Clamp(_bytes / parallelism, ShortestRead, LongestRead),
                Parallelism = parallelism,
            };
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, true))
            {
                return;
            }

            _shares._bytes.Return(_bytes);
            _place.Dispose();
        }
    }
}
