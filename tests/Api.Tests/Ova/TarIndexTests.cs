using System.Formats.Tar;
using System.Text;
using Registry.Api.Ova;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Ova;

/// <summary>What is in a tar archive, beside the runtime's own reader and writer.</summary>
public sealed class TarIndexTests
{
    private static readonly string Long = string.Concat(Enumerable.Repeat("a-long-name/", 20)) + "disk.vmdk";

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public async Task Files_are_found_where_they_are(TarEntryFormat format)
    {
        (string Name, byte[] Content)[] files =
        [
            ("vm.ovf", Bytes(700, 1)), ("./disk.vmdk", Bytes(512, 2)), ("empty", []), ("last", Bytes(1025, 3)),
        ];
        await RequireAsync(OvaArchive.Make(format, files), files);
    }

    [Theory]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public async Task Long_names_are_read(TarEntryFormat format) =>
        await RequireAsync(
            OvaArchive.Make(format, (Long, Bytes(600, 1)), ("b", Bytes(1, 2))), [(Long, Bytes(600, 1)), ("b", Bytes(1, 2))]);

    [Theory]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public async Task Any_archive_that_the_runtime_writes_is_read_as_it_reads_it(TarEntryFormat format)
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var files = Enumerable.Range(0, random.Next(12)).Select(number => (
                new string('n', random.Next(1, 230)) + number, Bytes(random.Next(3000), number))).ToArray();
            files = format == TarEntryFormat.Ustar ? [.. files.Where(file => file.Item1.Length <= 100)] : files;
            var archive = OvaArchive.Make(format, files);
            await RequireAsync(archive, files);
            using var reader = new TarReader(new MemoryStream(archive));
            foreach (var member in await ReadAsync(archive))
            {
                var entry = await reader.GetNextEntryAsync(cancellationToken: RegistryApp.Stop);
                Assert.Equal((entry!.Name, entry.Length), (member.Name, member.Length));
            }
        }
    }

    [Fact]
    public async Task Large_sizes_are_read_in_both_ways_of_writing_them()
    {
        var archive = OvaArchive.Make(TarEntryFormat.Ustar, ("a", Bytes(100, 1)), ("b", Bytes(5, 2)));
        archive.AsSpan(124, 12).Clear();
        archive[124] = 0x80; // binary, big-endian
        archive[135] = 100;
        Sign(archive.AsSpan(0, 512));
        await RequireAsync(archive, [("a", Bytes(100, 1)), ("b", Bytes(5, 2))]);
    }

    [Theory]
    [InlineData(TarEntryType.SymbolicLink)]
    [InlineData(TarEntryType.HardLink)]
    [InlineData(TarEntryType.CharacterDevice)]
    [InlineData(TarEntryType.BlockDevice)]
    [InlineData(TarEntryType.Fifo)]
    public async Task What_is_no_file_is_refused(TarEntryType type)
    {
        using var bytes = new MemoryStream();
        using (var tar = new TarWriter(bytes, TarEntryFormat.Ustar, leaveOpen: true))
        {
            var entry = new UstarTarEntry(type, "disk.vmdk");
            if (type is TarEntryType.SymbolicLink or TarEntryType.HardLink)
            {
                entry.LinkName = "/etc/passwd";
            }

            tar.WriteEntry(entry);
        }

        await RefuseAsync(bytes.ToArray(), "ova_odd_members");
    }

    [Theory]
    [InlineData("GNU.sparse.major", "1", "ova_odd_members")]
    [InlineData("GNU.sparse.realsize", "99999999", "ova_odd_members")]
    [InlineData("size", "99999999", "ova_damaged")]
    [InlineData("size", "-5", "ova_damaged")]
    [InlineData("size", "9223372036854775807", "ova_damaged")]
    public async Task Extended_headers_play_no_tricks(string key, string value, string reason)
    {
        var record = Encoding.UTF8.GetBytes($" {key}={value}\n");
        var length = record.Length + 2;
        var records = Encoding.UTF8.GetBytes($"{length}").Concat(record).ToArray();
        Assert.Equal(length, records.Length);
        await RefuseAsync([.. Header("pax", records.Length, 'x'), .. Padded(records), .. Header("f", 0, '0')], reason);
    }

    [Fact]
    public async Task A_header_for_all_files_names_none()
    {
        var records = "16 path=another\n"u8.ToArray();
        await RefuseAsync([.. Header("pax", records.Length, 'g'), .. Padded(records)], "ova_odd_members");
    }

    [Fact]
    public async Task An_extended_header_of_a_great_length_is_refused_before_it_is_read()
    {
        var archive = Header("pax", 1L << 30, 'x');
        var refused = await Assert.ThrowsAsync<RegistryException>(() => TarIndex.ReadAsync(
            (offset, buffer, _) =>
            {
                Assert.Equal(512, buffer.Length);
                archive.CopyTo(buffer);
                return ValueTask.CompletedTask;
            },
            2L << 30, RegistryApp.Stop));
        Assert.Equal("ova_odd_members", refused.Reason);
    }

    [Fact]
    public async Task Headers_of_other_systems_are_read()
    {
        byte[] records = [.. "11 path=ab\n"u8];
        var old = Header("\u00E9", 3, '\0', Encoding.Latin1); // its sum counts signed bytes
        Sign(old, isSigned: true);
        await RequireAsync(
            [
                .. Header("label", 0, 'V'), .. Header("vm/", 0, '\0'), .. Header("vm/", 0, '5'),
                .. Header("x", records.Length, 'X'), .. Padded(records), .. Header("short", 2, '0'), .. Padded([1, 2]),
                .. old, .. Padded([3, 4, 5]),
            ],
            [("ab", [1, 2]), ("\uFFFD", [3, 4, 5])]);
    }

    [Fact]
    public async Task Two_files_of_one_name_are_refused() => await RefuseAsync(
        OvaArchive.Make(TarEntryFormat.Ustar, ("disk.vmdk", Bytes(1, 1)), ("./disk.vmdk", Bytes(1, 2))),
        "ova_duplicate_members");

    [Fact]
    public async Task Too_many_files_are_refused() => await RefuseAsync(
        OvaArchive.Make(
            TarEntryFormat.Ustar,
            [.. Enumerable.Range(0, TarIndex.MembersMax + 1).Select(number => ($"{number}", Array.Empty<byte>()))]),
        "ova_too_many_members");

    [Fact]
    public async Task Headers_without_end_are_refused() => await RefuseAsync(
        [.. Enumerable.Range(0, (2 * TarIndex.MembersMax) + 1).SelectMany(_ => Header("d", 0, '5'))],
        "ova_too_many_members");

    [Fact]
    public async Task A_damaged_archive_is_refused()
    {
        var whole = OvaArchive.Make(TarEntryFormat.Ustar, ("a", Bytes(2000, 1)), ("b", Bytes(2000, 2)));
        await RefuseAsync(whole[..1500], "ova_damaged");
        whole[5] ^= 1;
        await RefuseAsync(whole, "ova_damaged");
        await RefuseAsync(Bytes(4096, 1), "ova_damaged");
    }

    [Fact]
    public async Task Nothing_at_all_has_no_files()
    {
        Assert.Empty(await ReadAsync([]));
        Assert.Empty(await ReadAsync(new byte[1024]));
    }

    private static async Task RequireAsync(byte[] archive, (string Name, byte[] Content)[] files)
    {
        var members = await ReadAsync(archive);
        Assert.Equal(
            files.Select(file => (file.Name.Replace("./", "", StringComparison.Ordinal), Convert.ToHexString(file.Content))),
            members.Select(member => (
                member.Name, Convert.ToHexString(archive.AsSpan((int)member.Offset, (int)member.Length)))));
    }

    private static async Task RefuseAsync(byte[] archive, string reason)
    {
        var refused = await Assert.ThrowsAsync<RegistryException>(() => ReadAsync(archive));
        Assert.Equal((ErrorCode.ImageRejected, reason), (refused.Code, refused.Reason));
    }

    private static Task<IReadOnlyList<TarMember>> ReadAsync(byte[] archive) => TarIndex.ReadAsync(
        (offset, buffer, _) =>
        {
            archive.AsMemory((int)offset, buffer.Length).CopyTo(buffer);
            return ValueTask.CompletedTask;
        },
        archive.Length, TestContext.Current.CancellationToken);

    private static byte[] Header(string name, long size, char type, Encoding? encoding = null)
    {
        var header = new byte[512];
        (encoding ?? Encoding.ASCII).GetBytes(name, header);
        Encoding.ASCII.GetBytes(Convert.ToString(size, 8).PadLeft(11, '0'), header.AsSpan(124));
        header[156] = (byte)type;
        "ustar\0"u8.CopyTo(header.AsSpan(257));
        "00"u8.CopyTo(header.AsSpan(263));
        Sign(header);
        return header;
    }

    private static void Sign(Span<byte> header, bool isSigned = false)
    {
        header.Slice(148, 8).Fill((byte)' ');
        var sum = 0;
        foreach (var value in header)
        {
            sum += isSigned ? (sbyte)value : value;
        }

        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ", header.Slice(148, 8));
    }

    private static byte[] Padded(byte[] bytes) => [.. bytes, .. new byte[(512 - (bytes.Length % 512)) % 512]];

    private static byte[] Bytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
