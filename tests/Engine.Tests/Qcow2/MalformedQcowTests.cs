using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2;

/// <summary>Each spoilt thing is refused under its own name.</summary>
public sealed class MalformedQcowTests
{
    private const ulong Copied = QcowBytes.Copied;
    private const ulong Compressed = 1UL << 62;

    [Fact]
    public async Task The_unspoilt_file_is_fine()
    {
        await using var image = await Disk.OpenQcow(
            new MemoryBytes(new QcowBytes().Entry(0, Copied | QcowBytes.Data).Bytes));
        var totals = await image.VerifyAsync(Disk.Stop);
        Assert.Equal(new AllocationTotals(AllocatedBytes: 65536, StoredBytes: 65536, Extents: 2), totals);
    }

    [Theory]
    [InlineData(FormatError.BadMagic, 0, 0x514649FAu)]
    [InlineData(FormatError.UnsupportedVersion, 4, 1u)]
    [InlineData(FormatError.UnsupportedVersion, 4, 4u)]
    [InlineData(FormatError.InvalidHeader, 20, 8u)]                 // cluster bits
    [InlineData(FormatError.InvalidHeader, 20, 22u)]
    [InlineData(FormatError.InvalidHeader, 20, 0xFFFFFFFFu)]
    [InlineData(FormatError.VirtualSizeTooLarge, 24, 0x80000000u)]  // size, upper half
    [InlineData(FormatError.VirtualSizeTooLarge, 24, 0xFFFFFFFFu)]
    [InlineData(FormatError.InvalidHeader, 24, 1u)]                 // L1 too short for 4 GiB
    [InlineData(FormatError.Encrypted, 32, 1u)]
    [InlineData(FormatError.Encrypted, 32, 2u)]
    [InlineData(FormatError.InvalidHeader, 32, 3u)]
    [InlineData(FormatError.TableTooLarge, 36, 0xFFFFFFFFu)]        // L1 entries
    [InlineData(FormatError.OutsideFile, 36, 4000000u)]
    [InlineData(FormatError.InvalidHeader, 36, 0u)]
    [InlineData(FormatError.OutsideFile, 40, 0x00FFFFFFu)]          // L1 offset, upper half
    [InlineData(FormatError.OutsideFile, 40, 0xFFFFFFFFu)]
    [InlineData(FormatError.Misaligned, 44, 0x00030001u)]           // L1 offset, lower half
    [InlineData(FormatError.OverlapsMetadata, 44, 0u)]
    [InlineData(FormatError.OutsideFile, 48, 0x00010000u)]          // refcount table offset, upper half
    [InlineData(FormatError.Misaligned, 52, 0x00010200u)]
    [InlineData(FormatError.TableTooLarge, 56, 0xFFFFFFFFu)]        // refcount table clusters
    [InlineData(FormatError.InvalidHeader, 56, 0u)]
    [InlineData(FormatError.TableTooLarge, 60, 0xFFFFFFFFu)]        // snapshots
    [InlineData(FormatError.OverlapsMetadata, 60, 1u)]              // at offset 0
    [InlineData(FormatError.UnknownFeature, 72, 1u)]                // incompatible bit 32
    [InlineData(FormatError.DirtyImage, 76, 1u)]
    [InlineData(FormatError.CorruptImage, 76, 2u)]
    [InlineData(FormatError.DataFileRefused, 76, 4u)]
    [InlineData(FormatError.InvalidHeader, 76, 8u)]                 // compression bit without type
    [InlineData(FormatError.InvalidHeader, 96, 7u)]                 // refcount order
    [InlineData(FormatError.InvalidHeader, 100, 103u)]              // header length
    [InlineData(FormatError.InvalidHeader, 100, 0xFFFFFFFFu)]
    [InlineData(FormatError.InvalidExtension, 104, 0x12345678u)]    // an extension …
    [InlineData(FormatError.BackingFileRefused, 12, 0x00000200u)]   // backing name offset
    [InlineData(FormatError.InvalidHeader, 12, 0x00010001u)]
    [InlineData(FormatError.InvalidHeader, 12, 0x00000010u)]
    [InlineData(FormatError.InvalidHeader, 8, 0x80000000u)]
    public async Task A_spoilt_header_field_is_refused_by_name(FormatError expected, int offset, uint value)
    {
        var file = new QcowBytes().U32(offset, value);
        if (offset == 104)
        {
            file.U32(108, 0xFFFFFFF0); // … that is too long
        }

        Assert.Equal(expected, await Disk.Refusal(async () => await Disk.OpenQcow(new MemoryBytes(file.Bytes))));
    }

    [Theory]
    [InlineData(0, FormatError.BadMagic)]
    [InlineData(3, FormatError.BadMagic)]
    [InlineData(7, FormatError.Truncated)]
    [InlineData(71, FormatError.Truncated)]
    [InlineData(103, FormatError.Truncated)]
    [InlineData(104, FormatError.OutsideFile)]
    [InlineData(QcowBytes.L1 + 7, FormatError.OutsideFile)]
    [InlineData(QcowBytes.L2 + QcowBytes.Cluster - 1, FormatError.OutsideFile)]
    [InlineData(QcowBytes.Data, FormatError.OutsideFile)]
    [InlineData(QcowBytes.Data + QcowBytes.Cluster - 1, FormatError.OutsideFile)]
    public async Task A_cut_file_is_refused_not_read_as_zeroes(int length, FormatError expected)
    {
        var file = new QcowBytes().Entry(0, Copied | QcowBytes.Data).Cut(length);
        Assert.Equal(expected, await Verify(file));
    }

    public static TheoryData<string, ulong[], FormatError> BadEntries => new()
    {
        { "unaligned", [QcowBytes.Data + 512], FormatError.Misaligned },
        { "outside the file", [QcowBytes.Cluster * 100UL], FormatError.OutsideFile },
        { "far outside the file", [0x00FF_FFFF_FFFF_0000], FormatError.OutsideFile },
        { "on the refcount table", [QcowBytes.RefcountTable], FormatError.OverlapsMetadata },
        { "on a refcount block", [2 * QcowBytes.Cluster], FormatError.OverlapsMetadata },
        { "on the L1 table", [QcowBytes.L1], FormatError.OverlapsMetadata },
        { "on its own L2 table", [QcowBytes.L2], FormatError.OverlapsMetadata },
        { "twice", [QcowBytes.Data, QcowBytes.Data], FormatError.SharedCluster },
        { "zero and twice", [QcowBytes.Data, QcowBytes.Data | 1], FormatError.SharedCluster },
        { "compressed on the header", [Compressed | 64], FormatError.OverlapsMetadata },
        { "compressed on data", [QcowBytes.Data, Compressed | (QcowBytes.Data + 100)], FormatError.SharedCluster },
        { "compressed outside the file", [Compressed | (8 * QcowBytes.Cluster)], FormatError.OutsideFile },
        { "compressed twice", [Compressed | QcowBytes.Data, Compressed | QcowBytes.Data], FormatError.SharedCluster },
    };

    [Theory]
    [MemberData(nameof(BadEntries))]
    public async Task A_spoilt_L2_entry_is_refused_by_name(string what, ulong[] entries, FormatError expected)
    {
        var file = new QcowBytes();
        for (var i = 0; i < entries.Length; i++)
        {
            file.Entry(i, entries[i]);
        }

        var found = await Verify(file);
        Assert.True(expected == found, $"{what}: {found}");
    }

    [Fact]
    public async Task A_zero_flag_in_version_2_is_refused()
    {
        Assert.Equal(FormatError.InvalidTableEntry, await Verify(new QcowBytes(version: 2).Entry(0, 1)));
        Assert.Null(await Verify(new QcowBytes(version: 3).Entry(0, 1)));
    }

    [Fact]
    public async Task Subclusters_that_contradict_each_other_are_refused()
    {
        var both = new QcowBytes().U32(76, 16).Entry(0, QcowBytes.Data).Entry(1, 0x00000001_00000001);
        Assert.Equal(FormatError.InvalidTableEntry, await Verify(both));
        var nowhere = new QcowBytes().U32(76, 16).Entry(1, 0x00000000_00000001);
        Assert.Equal(FormatError.InvalidTableEntry, await Verify(nowhere));
    }

    [Fact]
    public async Task L1_entries_are_refused_where_they_lead_nowhere_good()
    {
        Assert.Equal(FormatError.Misaligned, await Verify(new QcowBytes().U64(QcowBytes.L1, QcowBytes.L2 + 512)));
        Assert.Equal(FormatError.OutsideFile, await Verify(new QcowBytes().U64(QcowBytes.L1, 100 * QcowBytes.Cluster)));
        Assert.Equal(FormatError.OverlapsMetadata, await Verify(new QcowBytes().U64(QcowBytes.L1, QcowBytes.L1)));
        var twice = new QcowBytes(size: 1L << 30, l1Entries: 2).U64(QcowBytes.L1 + 8, QcowBytes.L2);
        Assert.Equal(FormatError.SharedCluster, await Verify(twice));
    }

    [Fact]
    public async Task Refcount_blocks_are_refused_where_they_lead_nowhere_good()
    {
        Assert.Equal(
            FormatError.Misaligned,
            await Verify(new QcowBytes().U64(QcowBytes.RefcountTable, (2 * QcowBytes.Cluster) + 512)));
        Assert.Equal(
            FormatError.OutsideFile,
            await Verify(new QcowBytes().U64(QcowBytes.RefcountTable, 100 * QcowBytes.Cluster)));
        Assert.Equal(
            FormatError.OverlapsMetadata,
            await Verify(new QcowBytes().U64(QcowBytes.RefcountTable + 8, 2 * QcowBytes.Cluster)));
    }

    [Fact]
    public async Task A_local_reader_takes_dirty_and_shared_images()
    {
        var file = new QcowBytes().U32(76, 1).Entry(0, QcowBytes.Data).Entry(1, QcowBytes.Data);
        await using var image = await Disk.OpenQcow(new MemoryBytes(file.Bytes), Limits.Local);
        Assert.Equal(131072, (await image.VerifyAsync(Disk.Stop)).AllocatedBytes);
    }

    [Fact]
    public async Task An_unknown_feature_is_named_and_its_name_escaped()
    {
        var file = new QcowBytes().U32(72, 0x100)        // incompatible bit 40
            .U32(104, 0x6803F857).U32(108, 48)           // feature name table of one record
            .U32(112, 0x00280000).Text(114, "<b>\u0007quantum");
        var error = await Assert.ThrowsAsync<ImageFormatException>(
            async () => await Disk.OpenQcow(new MemoryBytes(file.Bytes)));
        Assert.Equal(FormatError.UnknownFeature, error.Error);
        Assert.Contains("bit 40 \"?b>?quantum\"", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_data_file_name_is_refused_even_without_its_bit()
    {
        var file = new QcowBytes().U32(104, 0x44415441).U32(108, 11).Text(112, "/etc/passwd");
        Assert.Equal(
            FormatError.DataFileRefused,
            await Disk.Refusal(async () => await Disk.OpenQcow(new MemoryBytes(file.Bytes))));
    }

    [Fact]
    public async Task A_backing_file_that_is_no_image_is_refused_by_its_name()
    {
        var gate = new OpeningGate();
        var file = new QcowBytes().U32(12, 0x200).U32(16, 4).Text(0x200, "base");
        var refusal = await Assert.ThrowsAsync<ImageFormatException>(async () =>
            await Engine.Qcow2.QcowImage.OpenAsync(
                new MemoryBytes(file.Bytes), new DiskOpenOptions { Gate = gate }, Disk.Stop));
        Assert.Equal(FormatError.BadMagic, refusal.Error);
        Assert.Contains("Backing file base", refusal.Message, StringComparison.Ordinal);
        Assert.Equal("base", gate.Asked);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Garbage_in_a_compressed_cluster_is_an_error(byte type)
    {
        var file = new QcowBytes().U32(100, 112).U32(76, type == 0 ? 0u : 8u).Entry(0, Compressed | QcowBytes.Data);
        file.Bytes[104] = type;
        file.Bytes.AsSpan(QcowBytes.Data, 512).Fill(0xFE);
        await using var image = await Disk.OpenQcow(new MemoryBytes(file.Bytes));
        Assert.Equal(
            FormatError.BadCompressedData,
            await Disk.Refusal(async () => await image.ReadAsync(0, new byte[10], Disk.Stop)));
    }

    [Fact]
    public async Task A_file_full_of_tables_is_judged_in_little_time_and_memory()
    {
        var file = Crowded(64 << 20);
        var started = ThreadTime.Now;
        var before = GC.GetAllocatedBytesForCurrentThread();
        await using var image = await Disk.OpenQcow(new MemoryBytes(file));
        await image.VerifyAsync(Disk.Stop);
        Assert.InRange((ThreadTime.Now - started).TotalSeconds, 0, 10);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256 << 20);
    }

    /// <summary>512-byte clusters, half of the file L2 tables whose every entry is a compressed cluster of its
    /// own.</summary>
    private static byte[] Crowded(int length)
    {
        const int Small = 512;
        var tables = length / Small * 3 / 4;
        var size = (long)tables * 64 * Small;
        var l1Bytes = ((tables * 8) + Small - 1) / Small * Small;
        var file = new QcowBytes(clusters: length / QcowBytes.Cluster);
        file.U32(20, 9).U64(24, (ulong)size).U32(36, (uint)tables).U64(40, 2 * Small).U64(48, Small);
        file.Bytes.AsSpan(QcowBytes.RefcountTable, 8).Clear();
        file.Bytes.AsSpan(QcowBytes.L1, 8).Clear();
        var l2 = (2 * Small) + l1Bytes;
        var data = l2 + (tables * Small);
        for (var i = 0; i < tables; i++)
        {
            file.U64((2 * Small) + (i * 8), (ulong)(l2 + (i * Small)));
        }

        var next = (long)data;
        for (var i = 0; i < tables * 64 && next < length; i++, next += 3)
        {
            file.U64(l2 + (i * 8), Compressed | unchecked((ulong)next));
        }

        return file.Bytes;
    }

    private static async Task<FormatError?> Verify(QcowBytes file)
    {
        try
        {
            await using var image = await Disk.OpenQcow(new MemoryBytes(file.Bytes));
            await image.VerifyAsync(Disk.Stop);
            return null;
        }
        catch (ImageFormatException e)
        {
            return e.Error;
        }
    }

    private sealed class OpeningGate : IOpenGate
    {
        public string? Asked { get; private set; }

        public ValueTask<OpenedReference> OpenAsync(
            ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken)
        {
            Asked = name;
            return new(new OpenedReference(new MemoryBytes(), DiskFormat.Qcow2, name, name, this));
        }
    }
}
