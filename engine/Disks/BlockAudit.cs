using Registry.Engine.Qcow2;

namespace Registry.Engine.Disks;

/// <summary>Watches one listing of a whole disk of blocks: no two share stored bytes, none lies on metadata.</summary>
/// <remarks>Plain blocks are all of one size, so that a cell of the file of that size holds the start of one at most:
/// four bytes for each cell, in pages that exist only where something is marked. Memory follows the file and never a
/// number in it. Compressed blocks have no known length; no two may start at the same byte.</remarks>
internal sealed class BlockAudit
{
    private const int PageCells = 1 << 14;

    private readonly long leadBytes;
    private readonly long blockBytes;
    private readonly uint[]?[] pages;
    private readonly ByteStarts compressed;
    private readonly List<FileRange> metadata = [];
    private readonly TableRanges tables;

    /// <param name="fileLength">Bytes of the file, at least 1.</param>
    /// <param name="blockBytes">Guest bytes of a block.</param>
    /// <param name="leadBytes">Bytes that belong to a block and lie in front of its content.</param>
    /// <param name="metadata">Where the image's own structures are: a few.</param>
    /// <param name="tables">Where more of them are: many, all of one size.</param>
    public BlockAudit(
        long fileLength, long blockBytes, long leadBytes, IEnumerable<FileRange> metadata, TableRanges tables = default)
    {
        this.tables = tables;
        this.leadBytes = leadBytes;
        this.blockBytes = blockBytes + leadBytes;
        pages = new uint[]?[(fileLength / this.blockBytes / PageCells) + 1];
        compressed = new ByteStarts(fileLength);
        this.metadata.AddRange(metadata);
    }

    /// <summary>Marks one block; what is not stored is left alone.</summary>
    /// <exception cref="ImageFormatException">It lies on something else.</exception>
    public void Mark(in Extent block)
    {
        if (!block.IsStored)
        {
            return;
        }

        var offset = block.Offset - leadBytes;
        var isPlain = block.Kind == ExtentKind.Data;
        if (IsOnMetadata(offset, isPlain ? offset + block.Length + leadBytes : offset + 1))
        {
            throw new ImageFormatException(
                FormatError.OverlapsMetadata,
                $"The block at guest offset {block.Start} is stored on the image's own metadata.");
        }

        if (isPlain ? !TryMarkPlain(offset) : !compressed.TryAdd(offset))
        {
            throw new ImageFormatException(
                FormatError.SharedCluster,
                $"The block at guest offset {block.Start} shares its stored bytes with another one.");
        }
    }

    /// <summary>Ends the listing with what can only be told at its end.</summary>
    /// <exception cref="ImageFormatException">Two compressed blocks start at the same byte.</exception>
    public void Finish()
    {
        if (compressed.HasDuplicates())
        {
            throw new ImageFormatException(
                FormatError.SharedCluster, "A compressed block is referenced more than once.");
        }
    }

    private bool IsOnMetadata(long start, long end) =>
        metadata.Exists(range => range.Start < end && range.End > start) || tables.Overlap(start, end);

    /// <summary>Notes where a block starts, unless one starts less than a block before or behind.</summary>
    private bool TryMarkPlain(long offset)
    {
        var cell = offset / blockBytes;
        var within = offset % blockBytes;
        if (StartIn(cell) >= 0 || StartIn(cell - 1) > within || (StartIn(cell + 1) is var next and >= 0 && next < within))
        {
            return false;
        }

        var page = pages[cell / PageCells] ??= new uint[PageCells];
        page[cell % PageCells] = (uint)within + 1;
        return true;
    }

    /// <summary>Where in a cell a block starts; -1 where none does.</summary>
    private long StartIn(long cell)
    {
        var page = cell < 0 || cell / PageCells >= pages.Length ? null : pages[cell / PageCells];
        return page is null ? -1 : page[cell % PageCells] - 1L;
    }
}

/// <summary>A run of a file's bytes.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after it.</param>
internal readonly record struct FileRange(long Start, long End);

/// <summary>Tables of one size, many of them.</summary>
/// <param name="Sectors">First sector of each, ascending.</param>
/// <param name="Bytes">Bytes of each.</param>
internal readonly record struct TableRanges(uint[]? Sectors, int Bytes)
{
    private const long SectorBytes = 512;

    /// <summary>Whether one of them lies on a run of the file's bytes.</summary>
    public bool Overlap(long start, long end)
    {
        if (Sectors is null)
        {
            return false;
        }

        // The first one that ends behind the start.
        var (low, high) = (0, Sectors.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = (Sectors[middle] * SectorBytes) + Bytes <= start ? (middle + 1, high) : (low, middle);
        }

        return low < Sectors.Length && Sectors[low] * SectorBytes < end;
    }
}
