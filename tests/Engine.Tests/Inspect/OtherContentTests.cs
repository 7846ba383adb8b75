using System.Formats.Tar;
using System.IO.Compression;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Hostile;

namespace Registry.Engine.Tests.Inspect;

/// <summary>What certainly is not a disk is recognised, and never kept as the bytes of one unless that was
/// declared.</summary>
public sealed class OtherContentTests
{
    private static readonly byte[] Skip = [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];

    public static TheoryData<string, string, byte[]> Others => new()
    {
        { "gzip", "", Gzip() },
        { "xz", "", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4] },
        { "bzip2", "", [.. "BZh91AY&SY"u8, 1, 2, 3] },
        { "bzip2", "empty", [.. "BZh9"u8, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0] },
        { "zstd", "", [0x28, 0xB5, 0x2F, 0xFD, 0x24, 0, 1, 0, 0] },
        { "zstd", "skippable first", [.. Skip, .. Skip, 0x28, 0xB5, 0x2F, 0xFD, 0x24] },
        { "zstd", "long skippable first", [0x5F, 0x2A, 0x4D, 0x18, 0, 0, 0x10, 0, .. new byte[100_000]] },
        { "lz4", "", [4, 0x22, 0x4D, 0x18, 0x64, 0x40, 0xA7, 0] },
        { "lz4", "skippable first", [.. Skip, 4, 0x22, 0x4D, 0x18, 0x64, 0x40, 0xA7] },
        { "lz4", "legacy", [2, 0x21, 0x4C, 0x18, 1, 0, 0, 0] },
        { "lzip", "", [.. "LZIP"u8, 1, 12, 0, 0] },
        { "lzma", "", [0x5D, 0, 0, 0x80, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1, 2] },
        { "lzop", "", [0x89, 0x4C, 0x5A, 0x4F, 0, 13, 10, 26, 10, 16] },
        { "compress", "", [0x1F, 0x9D, 0x90, 1, 2] },
        { "zip", "", Zip() },
        { "zip", "empty", [.. "PK\x5\x6"u8, .. new byte[18]] },
        { "7z", "", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0, 4] },
        { "rar", "", [.. "Rar!"u8, 0x1A, 7, 1, 0] },
        { "tar", "v7", Tar(TarEntryFormat.V7, "disk.img") },
        { "tar", "ustar", Tar(TarEntryFormat.Ustar, "disk.img", "b") },
        { "tar", "pax", Tar(TarEntryFormat.Pax, "disk.img") },
        { "ova", "", Tar(TarEntryFormat.Ustar, "vm.ovf", "disk.vmdk") },
        { "ova", "later", Tar(TarEntryFormat.Gnu, "./vm.mf", "./vm/vm.OVF", "disk.vmdk") },
        { "cloop", "", [.. "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount"u8] },
        { "cloop", "of another version", [.. "#!/bin/sh\n#V4.0 Format\nmodprobe cloop"u8, .. new byte[99]] },
        { "bochs", "", [.. "Bochs Virtual HD Image"u8, .. new byte[500]] },
        { "Android sparse image", "", [0x3A, 0xFF, 0x26, 0xED, 1, 0, 0, 0, 28, 0] },
        { "dmg", "", [.. new byte[70_000], .. "koly"u8, 0, 0, 0, 4, 0, 0, 2, 0, .. new byte[500]] },
    };

    [Theory]
    [MemberData(nameof(Others))]
    public async Task It_is_recognised_and_refused_by_its_name(string name, string variant, byte[] file)
    {
        var found = Inspecting.InPieces(file, 4096);
        Assert.True(name == found.Other?.Name, $"{name} {variant}: {found.Other}");
        var (inPlace, _) = await Inspecting.InPlaceAsync(file);
        Assert.Equal(found.Other, inPlace.Other);
        foreach (var (declared, error) in new[]
            { ("raw", FormatError.NotADisk), ("ami", FormatError.NotADisk), ("qcow2", FormatError.FormatMismatch) })
        {
            var refusal = UploadVerdict.Judge(declared, "bare", found).Refusal;
            Assert.Equal(error, refusal?.Error);
            var message = $"Image disk_format {declared} does not match stream data {name}: ";
            Assert.StartsWith(message, refusal!.Message, StringComparison.Ordinal);
        }

        // A kernel and an initial RAM disk are compressed as they are.
        var isCompressed = found.Other!.Kind == OtherContentKind.Compressed;
        Assert.Equal(isCompressed, UploadVerdict.Judge("aki", "bare", found).IsAccepted);
        Assert.Equal(isCompressed, UploadVerdict.Judge("ari", "bare", found).IsAccepted);
        Assert.True(UploadVerdict.Judge("raw", "compressed", found).IsAccepted);
        Assert.True(UploadVerdict.Judge("raw", "ova", found).IsAccepted);
    }

    [Fact]
    public void Disks_are_not_taken_for_anything_else()
    {
        byte[][] disks =
        [
            new byte[5000], PlainDiskBytes.Mbr(), PlainDiskBytes.Gpt(),
            [.. new byte[257], .. "ustar\0"u8, .. new byte[500]], [0x1F, 0x8B, 8, 0xFF], [0x1F, 0x8B, 9, 0],
            [.. "BZh9 not bzip2 at all"u8], [0x5D, 0, 0, 0, 0, .. new byte[600]], [0x1F, 0x9D, 0, 1],
            [.. "PK not a zip"u8], [.. "#!/bin/sh\necho hello\n"u8], [0x28, 0xB5], [0x50, 0x2A, 0x4D, 0x18],
            [.. "koly"u8, .. new byte[508]], [.. "hsqs"u8, .. new byte[600]], [0xEB, 0x63, 0x90, .. new byte[600]],
        ];
        foreach (var disk in disks)
        {
            Assert.Null(Inspecting.InPieces(disk, 4096).Other);
        }

        var random = new Random(1);
        var noise = new byte[1024];
        for (var round = 0; round < 5000; round++)
        {
            random.NextBytes(noise);
            Assert.Null(OtherContents.Find(noise, noise));
        }
    }

    private static byte[] Gzip()
    {
        using var bytes = new MemoryStream();
        using (var gzip = new GZipStream(bytes, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(new byte[1000]);
        }

        return bytes.ToArray();
    }

    private static byte[] Zip()
    {
        using var bytes = new MemoryStream();
        using (var zip = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            zip.CreateEntry("disk.raw");
        }

        return bytes.ToArray();
    }

    private static byte[] Tar(TarEntryFormat format, params string[] names)
    {
        using var bytes = new MemoryStream();
        using (var tar = new TarWriter(bytes, format, leaveOpen: true))
        {
            foreach (var name in names)
            {
                TarEntry entry = format switch
                {
                    TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
                    TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, name),
                    TarEntryFormat.Pax => new PaxTarEntry(TarEntryType.RegularFile, name),
                    _ => new UstarTarEntry(TarEntryType.RegularFile, name),
                };
                entry.DataStream = new MemoryStream(new byte[700]);
                tar.WriteEntry(entry);
            }
        }

        return bytes.ToArray();
    }
}
