using System.Buffers.Binary;

namespace Registry.Engine.Tests.Corpus;

/// <content>Snapshots, encryption, bitmaps, header bits, and what qemu does not write.</content>
internal static partial class CorpusImages
{
    private static IEnumerable<CorpusImage> Snapshots()
    {
        foreach (var (wanted, what) in new[]
        {
            ("first", "by name"), ("2", "by id"), ("snapshot.id=1", "by id=1"), ("snapshot.name=second", "by name="),
            ("snapshot.id=2,snapshot.name=second", "by both"), ("third", "of another size"),
        })
        {
            yield return new($"a snapshot {what}", Snapshotted) { Snapshot = wanted };
        }

        yield return new("the active disk beside snapshots", Snapshotted);
        foreach (var options in new[] { "compat=0.10", "extended_l2=on", "cluster_size=512", "refcount_bits=64" })
        {
            yield return new(
                $"a snapshot with {options}",
                folder => folder
                    .Create(2 * M, options).Io(["write -P 1 0 300k", "write -P 2 1M 4k"]).Snapshot("one")
                    .Io(["write -P 3 64k 100k", "discard 1M 64k"]))
            { Snapshot = "one" };
        }

        yield return new(
            "a snapshot over a backing file",
            folder => folder
                .Raw("base.raw", 2 * M).Overlay("base.raw", "raw", 2 * M).Io(["write -P 1 0 300k"]).Snapshot("one")
                .Io(["write -P 3 64k 1M"]))
        { Snapshot = "one" };
        yield return new(
            "a snapshot of compressed clusters",
            folder => folder
                .Create(4 * M).Fill("compressed", 4 * M, 64 * K).Snapshot("one").Io(["write -P 3 64k 1M"]))
        {
            Snapshot = "one",
        };
    }

    private static void Snapshotted(CorpusFolder folder) => folder
        .Create(2 * M).Io(["write -P 1 0 1M"]).Snapshot("first")
        .Io(["write -P 2 64k 64k", "write -zu 256k 64k"]).Snapshot("second")
        .Io(["write -P 3 1500k 300k"]).Snapshot("third")
        .Resize(6 * M).Io(["write -P 4 5M 64k", "discard 0 512k"]).Snapshot("fourth").Io(["write -P 5 0 4k"]);

    private static IEnumerable<CorpusImage> Encrypted()
    {
        foreach (var (cipher, mode, vector, hash) in new[]
        {
            ("aes-256", "xts", "plain64", "sha256"), ("aes-128", "xts", "plain64", "sha1"),
            ("aes-128", "cbc", "plain64", "sha256"), ("aes-256", "cbc", "plain64", "sha512"),
            ("aes-256", "cbc", "plain64", "sha1"), ("aes-256", "cbc", "essiv", "sha256"),
            ("aes-128", "cbc", "essiv", "sha256"), ("aes-256", "xts", "plain", "sha512"),
            ("aes-256", "ecb", "plain64", "sha256"), ("aes-256", "ctr", "plain64", "sha256"),
            ("aes-256", "xts", "plain64", "sha384"), ("aes-256", "xts", "essiv", "sha256"),
        })
        {
            var options = $"encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-alg={cipher},"
                + $"encrypt.cipher-mode={mode},encrypt.ivgen-alg={vector},encrypt.hash-alg={hash}"
                + (vector == "essiv" ? ",encrypt.ivgen-hash-alg=sha256" : "");
            yield return new($"LUKS {cipher}-{mode}-{vector}, {hash}", folder => Encrypted(folder, options))
            {
                Passphrase = "correct horse",
                IsSlow = (cipher, mode, vector, hash) is not (
                    ("aes-256", "xts", "plain64", "sha256") or ("aes-256", "cbc", "plain64", "sha1")
                    or ("aes-128", "cbc", "essiv", "sha256") or ("aes-256", "ctr", "plain64", "sha256")),
            };
        }

        foreach (var options in new[] { "cluster_size=512", "extended_l2=on", "cluster_size=2M", "compat=1.1" })
        {
            yield return new(
                $"LUKS with {options}",
                folder => Encrypted(folder, "encrypt.format=luks,encrypt.iter-time=10," + options))
            { Passphrase = "p", IsSlow = options is "cluster_size=2M" or "compat=1.1" };
        }

        foreach (var (options, passphrase) in new[]
        {
            ("compat=1.1", "short"), ("compat=0.10", "exactly 16 bytes"), ("cluster_size=4k", "far longer than sixteen"),
            ("extended_l2=on", "x"),
        })
        {
            yield return new(
                $"legacy encryption with {options}",
                folder => Encrypted(folder, "encrypt.format=aes," + options))
            { Passphrase = passphrase };
        }

        yield return new(
            "LUKS with a data file",
            folder => Encrypted(
                folder, $"encrypt.format=luks,encrypt.iter-time=10,data_file={folder["disk.data"]}"))
        { Passphrase = "p" };
        yield return new(
            "LUKS, a snapshot",
            folder =>
            {
                Encrypted(folder, "encrypt.format=luks,encrypt.iter-time=10");
                Oracle.QemuImg.Run(["snapshot", "-c", "one", .. folder.Source[..^1], folder.Source[^1]]);
                folder.IoEncrypted(["write -P 77 0 200k"]);
            })
        { Passphrase = "p", Snapshot = "one" };
    }

    private static void Encrypted(CorpusFolder folder, string options) => folder
        .CreateEncrypted(4 * M, options)
        .IoEncrypted([
            "write -P 1 0 300k", "write -P 2 1M 512", "write -P 3 1500k 70k", "write -z 128k 64k", "write -P 4 4095k 1k"]);

    private static IEnumerable<CorpusImage> Bitmaps()
    {
        foreach (var granularity in new[] { "512", "64k", "2M" })
        {
            yield return new(
                $"a bitmap of {granularity}",
                folder => folder
                    .Create(8 * M)
                    .Made(() => Oracle.QemuImg.Run("bitmap", "--add", "-g", granularity, folder[CorpusFolder.Disk], "b"))
                    .Fill("scattered", 8 * M, 64 * K));
        }
    }

    private static IEnumerable<CorpusImage> Headers()
    {
        foreach (var (name, offset, hex) in new[]
        {
            ("the dirty bit", 72, "0000000000000001"), ("the corrupt bit", 72, "0000000000000002"),
            ("unknown compatible bits", 80, "8000000000000100"), ("unknown autoclear bits", 88, "4000000000000080"),
        })
        {
            yield return new(
                name, folder => folder.Create(4 * M).Fill("scattered", 4 * M, 64 * K).Poke(offset, hex));
        }

        yield return new(
            "an unknown header extension",
            folder => folder
                .Create(4 * M).Fill("scattered", 4 * M, 64 * K).Poke(112, "1234567800000005" + "68656c6c6f000000"
                    + "0000000000000000"));
        yield return new(
            "a header of 104 bytes",
            folder => folder.Create(4 * M).Fill("scattered", 4 * M, 64 * K).Poke(100, "00000068" + "0000000000000000"));
        yield return new(
            "a header of 200 bytes",
            folder => folder.Create(4 * M).Fill("scattered", 4 * M, 64 * K)
                .Poke(100, "000000c8").Poke(112, new string('0', 400)));
        yield return new(
            "reserved bits in tables",
            folder => folder.Create(4 * M).Io(["write -P 1 0 128k"]).Made(() => SetReservedBits(folder)));
    }

    /// <summary>QEMU ignores bits 1 to 8 of L1 and L2 entries.</summary>
    private static void SetReservedBits(CorpusFolder folder)
    {
        var file = File.ReadAllBytes(folder[CorpusFolder.Disk]);
        var l1 = (int)BinaryPrimitives.ReadUInt64BigEndian(file.AsSpan(40));
        file[l1 + 7] |= 0x80;
        var l2 = (int)(BinaryPrimitives.ReadUInt64BigEndian(file.AsSpan(l1)) & 0x00FF_FFFF_FFFF_FE00);
        file[l2 + 7] |= 0x40;
        file[l2 + 15] |= 0x02;
        File.WriteAllBytes(folder[CorpusFolder.Disk], file);
    }

    private static IEnumerable<CorpusImage> Written()
    {
        yield return new(
            "a compressed cluster whose last sector the file does not have",
            folder => folder.Create(4 * M).Io(["write -c -P 3 1M 64k"]).Made(() =>
                Assert.NotEqual(0, new FileInfo(folder[CorpusFolder.Disk]).Length % 512)));
        yield return new(
            "a file cut inside its last cluster",
            folder => folder
                .Create(4 * M).Io(["write -P 3 1M 64k"])
                .Made(() =>
                {
                    using var file = File.OpenWrite(folder[CorpusFolder.Disk]);
                    file.SetLength(file.Length - 1000);
                }));
        yield return new(
            "allocated zeroes, made by hand",
            folder => folder.Create(4 * M).Io(["write -P 3 0 256k"]).Made(() => SetZeroFlags(folder)));
        yield return new(
            "a backing format given as file",
            folder => folder
                .Raw("base.raw", 2 * M).Overlay("base.raw", "raw", 2 * M).Io(["write -P 3 0 4k"])
                .NameFormat(CorpusFolder.Disk, "file"));
    }

    private static void SetZeroFlags(CorpusFolder folder)
    {
        var file = File.ReadAllBytes(folder[CorpusFolder.Disk]);
        var l1 = (int)BinaryPrimitives.ReadUInt64BigEndian(file.AsSpan(40));
        var l2 = (int)(BinaryPrimitives.ReadUInt64BigEndian(file.AsSpan(l1)) & 0x00FF_FFFF_FFFF_FE00);
        file[l2 + 15] |= 1;
        file[l2 + 23] |= 1;
        File.WriteAllBytes(folder[CorpusFolder.Disk], file);
    }
}
