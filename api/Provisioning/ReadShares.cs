using Registry.Engine.Convert;

namespace Registry.Api.Provisioning;

/// <summary>How much each of the disks that are read at once may have on its way from the store: long reads while there
/// are few, short ones when there are many, so that memory hardly grows with their number.</summary>
/// <remarks>Whoever joins gets one of the <see cref="ByteShares"/>, and gives it back when it leaves. Where a process has little
/// memory, who comes when it is full waits for somebody to leave.</remarks>
internal sealed class ReadShares : IDisposable
{
    private const int TogetherBytes = 32 << 20;
    private const int LongestRead = 8 << 20;
    private const int ShortestRead = 128 << 10;
    private const int ParallelismMax = 2; // rather long reads than many: each costs the store a request

    // The least share as it is read, as it waits for its turn and as it is sent, and the buffers of a connection are 0.6 MiB,
    // the parts of its index that an open disk keeps a few more; as much is left to the rest of the process, and the
    // collector wants room to work in.
    private const int ReaderBytes = 8 << 20;
    private const int ReadersMin = 8;
    private const int ReadersMax = 8192;

    private readonly SemaphoreSlim _places;
    private readonly ByteShares _bytes = new(TogetherBytes, [16 << 20, 4 << 20, 1 << 20, ShortestRead]);
    private int _waiting;

    /// <summary>Shares for a process that may use so much memory.</summary>
    /// <param name="availableBytes">What the collector may use at most.</param>
    public ReadShares(long availableBytes) =>
        _places = new SemaphoreSlim((int)Math.Clamp(availableBytes / ReaderBytes, ReadersMin, ReadersMax));

    /// <summary>How many wait for a place.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Opens what is to be read as soon as there is a place, and not before: an open disk keeps parts of its index,
    /// and those who wait may be many.</summary>
    /// <typeparam name="T">What is opened.</typeparam>
    /// <param name="open">Opens it.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="most">Bytes that will be read in all, where that is known to be little.</param>
    public async ValueTask<Reading<T>> OpenAsync<T>(
        Func<ValueTask<T>> open, CancellationToken cancellationToken, int most = TogetherBytes)
        where T : IAsyncDisposable
    {
        var share = await JoinAsync(cancellationToken, most);
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
    public async ValueTask<Share> JoinAsync(CancellationToken cancellationToken, int most = TogetherBytes)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            await _places.WaitAsync(cancellationToken);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }

        return new Share(this, most);
    }

    /// <inheritdoc/>
    public void Dispose() => _places.Dispose();

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
        private readonly int _most;
        private int _bytes;
        private bool _isLeft;

        internal Share(ReadShares shares, int most)
        {
            (_shares, _most) = (shares, most);
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
            _shares._places.Release();
        }
    }
}
