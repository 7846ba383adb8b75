using System.Numerics;
using Registry.Engine.Convert;

namespace Registry.Api.Provisioning;

/// <summary>How much each of the disks that are read at once may have on its way from the store: long reads while there
/// are few, short ones when there are many, so that memory does not grow with their number.</summary>
internal sealed class ReadShares
{
    private const int TogetherBytes = 32 << 20;
    private const int LongestBytes = 8 << 20;
    private const int ShortestBytes = 256 << 10;
    private const int ManyReaders = 16;

    private int _readers;

    /// <summary>Joins the readers. Dispose the share when the disk has been read.</summary>
    public Share Join()
    {
        var readers = Interlocked.Increment(ref _readers);
        var bytes = (int)BitOperations.RoundUpToPowerOf2((uint)(TogetherBytes / readers) / 2 + 1);
        return new Share(this, DiskReadOptions.Default with
        {
            MaxRangeBytes = Math.Clamp(bytes, ShortestBytes, LongestBytes),
            Parallelism = readers < ManyReaders ? 4 : 2,
        });
    }

    /// <summary>One reader's part.</summary>
    /// <param name="shares">All of them.</param>
    /// <param name="options">How its disk is to be read.</param>
    internal sealed class Share(ReadShares shares, DiskReadOptions options) : IDisposable
    {
        private bool _isLeft;

        /// <summary>How its disk is to be read.</summary>
        public DiskReadOptions Options { get; } = options;

        /// <inheritdoc/>
        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _isLeft, true))
            {
                Interlocked.Decrement(ref shares._readers);
            }
        }
    }
}
