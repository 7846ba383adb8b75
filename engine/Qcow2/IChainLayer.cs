using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>A run of guest bytes.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after it.</param>
internal readonly record struct GuestRange(long Start, long End);

/// <summary>What a chain wants to know of one of its images.</summary>
/// <param name="Ranges">Ascending, without overlap, inside the image.</param>
/// <param name="Depth">The image's place in the chain.</param>
/// <param name="IsExact">Whether runs are told apart as qemu-img tells them apart.</param>
/// <param name="Cache">Where small pieces of tables are kept; null in a pass over the whole disk, which needs each
/// once.</param>
internal sealed record ChainRequest(IReadOnlyList<GuestRange> Ranges, int Depth, bool IsExact, TableCache? Cache);

/// <summary>One image of a backing chain, seen for itself.</summary>
internal interface IChainLayer
{
    /// <summary>Bytes of its disk.</summary>
    long VirtualSize { get; }

    /// <summary>The image by itself, as if nothing were below it.</summary>
    DiskImage Own { get; }

    /// <summary>The bytes that its own extents are stored in.</summary>
    IByteSource OwnBytes { get; }

    /// <summary>Bytes of the smallest run that it tells apart; for a raw file, of what is worth it.</summary>
    int Granularity { get; }

    /// <summary>The first guest byte from <paramref name="from"/> on that it may have something at; nothing is
    /// read.</summary>
    long NextPresent(long from);

    /// <summary>Adds its own extents of the ranges, holes included, in order. A compressed extent that sticks out of
    /// its
    /// range is cut to it and has a negative <see cref="Extent.StoredLength"/>.</summary>
    ValueTask AddOwnAsync(ChainRequest request, List<Extent> found, CancellationToken cancellationToken);
}
