using System.Numerics;
using Registry.Engine.Convert;

namespace Registry.Api.Provisioning;

/// <summary>How much each of the disks that are read at once may have on its way from the store: long reads while there
/// are few, short ones when there are many, so that memory hardly grows with their number.</summary>
/// <remarks>Whoever joins gets half of what is left of <see cref="TogetherBytes"/>, or <see cref="LeastBytes"/> where
/// that is more, and gives it back when it leaves.</remarks>
internal sealed class ReadShares
{
    private const int TogetherBytes = 64 << 20;
    private const int LeastBytes = 256 << 10;
    private const int LongestRead = 8 << 20;
    private const int ShortestRead = 256 << 10;
    private const int ParallelismMax = 4;

    private readonly Lock _lock = new();
    private int _left = TogetherBytes;

    /// <summary>Joins the readers. Dispose the share when the disk has been read.</summary>
    /// <param name="most">Bytes that will be read in all, where that is known to be little.</param>
    public Share Join(int most = TogetherBytes)
    {
        int bytes;
        lock (_lock)
        {
            var half = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(0, _left) / 2 + 1) / 2;
            bytes = Math.Max(LeastBytes, Math.Min(half, (int)BitOperations.RoundUpToPowerOf2((uint)most)));
            _left -= bytes;
        }

        return new Share(this, bytes);
    }

    /// <summary>One reader's part.</summary>
    internal sealed class Share : IDisposable
    {
        private readonly ReadShares _shares;
        private readonly int _bytes;
        private bool _isLeft;

        internal Share(ReadShares shares, int bytes)
        {
            (_shares, _bytes) = (shares, bytes);
            var parallelism = Math.Clamp(bytes / ShortestRead, 1, ParallelismMax);
            Options = DiskReadOptions.Default with
            {
                MaxRangeBytes = Math.Clamp(bytes / parallelism, ShortestRead, LongestRead),
                Parallelism = parallelism,
            };
        }

        /// <summary>How its disk is to be read.</summary>
        public DiskReadOptions Options { get; }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, true))
            {
                return;
            }

            lock (_shares._lock)
            {
                _shares._left += _bytes;
            }
        }
    }
}
