using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Tests.Oracle;
using Registry.Engine.Tests.Qcow2;
using Registry.Support;

namespace Registry.Engine.Tests.Properties;

/// <summary>Images that QEMU made, with a few fields of their header, extensions and tables changed: what the server takes,
/// QEMU opens, and what QEMU opens is refused only for reasons of the server's own.</summary>
public sealed class QcowOpenProperties : IDisposable
{
    private const int Tests = 250;
    private const int HeaderBytes = 256; // with the extensions of a small image

    // What lies where it must not, or leads to other files, is refused though QEMU reads it as zeroes, or at all.
    private static readonly FormatError[] Policies =
    [
        FormatError.OutsideFile, FormatError.OverlapsMetadata, FormatError.SharedCluster, FormatError.DirtyImage,
        FormatError.BackingFileRefused, FormatError.DataFileRefused, FormatError.VirtualSizeTooLarge,
    ];

    private static readonly ulong[] Values =
        [0, 1, 2, 3, 4, 7, 8, 9, 16, 21, 22, 23, 24, 32, 64, 104, 111, 112, 255, 256, 512, 1024, 1025, 4096, 0xFFFF,
            0x10000, 0x10001, 0x20000, 0x50000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1UL << 40, 1UL << 63, ulong.MaxValue];

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void What_is_taken_QEMU_opens_and_what_is_refused_it_refuses()
    {
        QemuImg.Require();
        byte[][] images =
        [
            Image("size=1M", []), Image("size=1M,cluster_size=512", ["a"]), Image("size=1M,cluster_size=4096", ["a", "b"]),
            Image("size=8M,extended_l2=on", ["a"]), Image("size=1M,compat=0.10", []), Image("size=3G", ["first", "second"]),
        ];
        var change = from at in Gen.Choose(0, int.MaxValue - 1)
            from width in Gen.Elements(1, 2, 4, 8)
            from value in Gen.Elements(Values)
            select (at, width, value);
        var plan = from image in Gen.Choose(0, images.Length - 1)
            from changes in Gen.ListOf(change, 2)
            select (image, changes);
        Property.Holds(plan, AgreesAsync, Tests);

        async Task<bool> AgreesAsync((int Image, List<(int At, int Width, ulong Value)> Changes) spoilt)
        {
            var bytes = images[spoilt.Image].ToArray();
            var places = Places(bytes);
            foreach (var (at, width, value) in spoilt.Changes)
            {
                Write(bytes.AsSpan(places[at % places.Count] / width * width), width, value);
            }

            var path = _directory.File("spoilt.qcow2");
            await File.WriteAllBytesAsync(path, bytes);
            var (opens, answer) = QemuImg.TryOpen(path);
            var refusal = await QcowOpenRulesTests.RefusalAsync(bytes);
            Assert.False(refusal is null && !opens, $"taken, and QEMU says: {answer}");
            Assert.False(opens && refusal is { } reason && !IsPolicy(reason), $"{refusal}, and QEMU says: {answer}");
            return true;
        }
    }

    // QEMU looks at a snapshot's own table only when the snapshot is used, and at the disk's when they are read.
    private static bool IsPolicy(InspectionFailure refusal) => Policies.Contains(refusal.Error)
        || refusal.Message.StartsWith("A snapshot's L1 table", StringComparison.Ordinal)
        || refusal.Message.StartsWith("The L2 ", StringComparison.Ordinal)
        || refusal.Message.Contains("cluster at guest offset", StringComparison.Ordinal);

    private byte[] Image(string options, string[] bitmaps)
    {
        var path = _directory.File($"{Guid.NewGuid():N}");
        QemuImg.Run("create", "-q", "-f", "qcow2", "-o", options, path);
        QemuImg.Io(path, ["write -P 1 0 64k"]);
        foreach (var name in bitmaps)
        {
            QemuImg.Run("bitmap", "--add", path, name);
        }

        QemuImg.Run("snapshot", "-c", "before", path);
        QemuImg.Io(path, ["write -P 2 8k 4k"]);
        return File.ReadAllBytes(path);
    }

    // The header with its extensions, the snapshot table, the bitmap directory and the first bitmap's table.
    private static List<int> Places(byte[] bytes)
    {
        var places = Enumerable.Range(4, HeaderBytes).ToList();
        places.AddRange(Enumerable.Range((int)BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(64)), 80));
        var directory = bytes.AsSpan().IndexOf((ReadOnlySpan<byte>)[0x23, 0x85, 0x28, 0x75, 0, 0, 0, 24]);
        if (directory > 0)
        {
            var entry = (int)BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(directory + 24));
            places.AddRange(Enumerable.Range(entry, 64));
            places.AddRange(Enumerable.Range((int)BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(entry)), 16));
        }

        return [.. places.Where(place => place < bytes.Length - 8)];
    }

    private static void Write(Span<byte> target, int width, ulong value)
    {
        Span<byte> all = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(all, value);
        all[(8 - width)..].CopyTo(target);
    }
}
