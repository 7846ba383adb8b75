using System.Buffers.Binary;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Corpus;

/// <summary>One image of the corpus: how it is made, and how it is opened.</summary>
/// <param name="Name">What is special about it; unique.</param>
/// <param name="Make">Makes it, and whatever it refers to.</param>
internal sealed record CorpusImage(string Name, Action<CorpusFolder> Make)
{
    /// <summary>The passphrase; null where it is not encrypted.</summary>
    public string? Passphrase { get; init; }

    /// <summary>The internal snapshot that is opened; null for the active disk.</summary>
    public string? Snapshot { get; init; }

    /// <summary>Whether the disk is too large to look at every byte.</summary>
    public bool IsHuge { get; init; }

    /// <summary>Whether qemu-img takes seconds to make it, and another stands for it in a short run: it measures how fast the
    /// machine hashes before it encrypts.</summary>
    public bool IsSlow { get; init; }
}

/// <summary>Where one image of the corpus is made; the image itself is <c>disk.qcow2</c>.</summary>
internal sealed class CorpusFolder(TempDirectory directory, string? passphrase)
{
    public const string Disk = "disk.qcow2";

    public string this[string name] => directory.File(name);

    public CorpusFolder Create(long size, string options = "", string name = Disk)
    {
        QemuImg.Create(this[name], size, options);
        return this;
    }

    /// <summary>Makes an overlay in the folder itself, so that names are relative to it; without a format it is made
    /// with one, which is then taken out.</summary>
    public CorpusFolder Overlay(
        string backing, string? format, long? size = null, string options = "", string name = Disk)
    {
        List<string> arguments = ["create", "-q", "-f", "qcow2", "-b", backing, "-F", format ?? "raw"];
        if (options.Length > 0)
        {
            arguments.AddRange(["-o", options]);
        }

        arguments.Add(this[name]);
        if (size is not null)
        {
            arguments.Add($"{size}");
        }

        QemuImg.Run([.. arguments]);
        if (format is null)
        {
            NameFormat(name, "");
        }

        return this;
    }

    /// <summary>Changes the backing format that an image names; empty for none: the record becomes one that nobody
    /// knows.</summary>
    public CorpusFolder NameFormat(string name, string format)
    {
        var file = File.ReadAllBytes(this[name]);
        var at = file.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xE2, 0x79, 0x2A, 0xCA]);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(at), format.Length == 0 ? 0x12345678 : 0xE2792ACA);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(at + 4), (uint)format.Length);
        file.AsSpan(at + 8, format.Length == 0 ? 0 : 8).Clear();
        if (format.Length == 0)
        {
            BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(at + 4), 8);
        }

        System.Text.Encoding.ASCII.GetBytes(format, file.AsSpan(at + 8));
        File.WriteAllBytes(this[name], file);
        return this;
    }

    public CorpusFolder Io(IEnumerable<string> commands, string name = Disk)
    {
        var list = commands.ToList();
        if (list.Count > 0)
        {
            QemuImg.Io(this[name], list);
        }

        return this;
    }

    /// <summary>Content of a kind, the same for the same seed.</summary>
    public CorpusFolder Fill(string kind, long size, int cluster, int seed = 1, string name = Disk) =>
        Io(Contents.Commands(kind, size, cluster, seed), name);

    public CorpusFolder Snapshot(string snapshot)
    {
        QemuImg.Run("snapshot", "-c", snapshot, this[Disk]);
        return this;
    }

    public CorpusFolder Resize(long size, string name = Disk)
    {
        QemuImg.Run("resize", "-q", this[name], $"{size}");
        return this;
    }

    /// <summary>A raw file: data, holes, data that does not compress, text.</summary>
    public CorpusFolder Raw(string name, long size, int seed = 7)
    {
        var random = new Random(seed);
        using var file = File.Create(this[name]);
        file.SetLength(size);
        for (long at = 0; at < size; at += 64 << 10)
        {
            var piece = new byte[(int)Math.Min(64 << 10, size - at)];
            switch (random.Next(4))
            {
                case 0:
                    continue;
                case 1:
                    random.NextBytes(piece);
                    break;
                case 2:
                    piece.AsSpan().Fill((byte)random.Next(1, 255));
                    break;
                default:
                    for (var i = 0; i < piece.Length; i++)
                    {
                        piece[i] = (byte)"the quick brown fox "[(i + random.Next(2)) % 20];
                    }

                    break;
            }

            file.Position = at;
            file.Write(piece);
        }

        return this;
    }

    public CorpusFolder Convert(string from, string options, params string[] arguments)
    {
        QemuImg.Run([
            "convert", "-f", "raw", "-O", "qcow2", .. arguments,
            .. options.Length > 0 ? new[] { "-o", options } : [], this[from], this[Disk]]);
        return this;
    }

    /// <summary>Changes bytes of the image.</summary>
    public CorpusFolder Poke(long offset, string hex, string name = Disk)
    {
        using var file = File.OpenWrite(this[name]);
        file.Position = offset;
        file.Write(System.Convert.FromHexString(hex));
        return this;
    }

    public CorpusFolder CreateEncrypted(long size, string options)
    {
        // It times itself in order to choose the iterations, which fails now and then on a busy machine.
        for (var attempt = 0; ; attempt++)
        {
            var (code, output) = QemuImg.TryRun(
                "create", "-q", "-f", "qcow2", "--object", $"secret,id=s,data={passphrase}", "-o",
                "encrypt.key-secret=s," + options, this[Disk], $"{size}");
            if (code == 0)
            {
                return this;
            }

            Assert.True(attempt < 20 && output.Contains("accurate CPU usage", StringComparison.Ordinal), output);
        }
    }

    public CorpusFolder IoEncrypted(IEnumerable<string> commands)
    {
        QemuImg.IoWith(
            ["--object", $"secret,id=s,data={passphrase}", "--image-opts", EncryptedName], commands);
        return this;
    }

    /// <summary>How qemu is told to open the image.</summary>
    public string[] Source => passphrase is null
        ? ["-f", "qcow2", this[Disk]]
        : ["--object", $"secret,id=s,data={passphrase}", "--image-opts", EncryptedName];

    private string EncryptedName => $"driver=qcow2,encrypt.key-secret=s,file.driver=file,file.filename={this[Disk]}";
}
