using System.Globalization;
using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Api.Cli;

/// <summary>The shape of a new image, as <c>-o</c> tells it, for whatever verb makes one.</summary>
internal static class DiskShape
{
    /// <summary>What <c>-o</c> knows of the shape of a qcow2 image.</summary>
    public const string Help = "compat=0.10|1.1, cluster_size=BYTES, refcount_bits=N, lazy_refcounts=on|off, "
        + "compression_type=zlib|zstd, extended_l2=on|off, preallocation=off|metadata|falloc|full";

    private static readonly string[] EncryptionNames =
    [
        "encrypt.format", "encrypt.cipher-alg", "encrypt.cipher-mode", "encrypt.ivgen-alg", "encrypt.ivgen-hash-alg",
        "encrypt.hash-alg", "encrypt.iterations",
    ];

    /// <summary>Takes the options of a qcow2 image's shape out of others.</summary>
    public static QcowShape Take(Dictionary<string, string> options)
    {
        var shape = QcowShape.Default;
        return shape with
        {
            Version = Take(options, "compat", OptionText.Version, shape.Version),
            ClusterSize = Take(options, "cluster_size", ClusterSize, shape.ClusterSize),
            RefcountBits = Take(options, "refcount_bits", OptionText.Number, shape.RefcountBits),
            LazyRefcounts = Take(options, "lazy_refcounts", OptionText.Flag, shape.LazyRefcounts),
            ExtendedL2 = Take(options, "extended_l2", OptionText.Flag, shape.ExtendedL2),
            Compression = Take(options, "compression_type", Compression, shape.Compression),
        };
    }

    /// <summary>Takes the preallocation out of other options.</summary>
    public static Preallocation TakePreallocation(Dictionary<string, string> options) =>
        Take(options, "preallocation", ReadPreallocation, Preallocation.Off);

    /// <summary>Takes the encryption out of other options; null for none.</summary>
    public static LuksOptions? TakeLuks(Dictionary<string, string> options)
    {
        if (!options.Remove("encrypt.format", out var format))
        {
            return null;
        }

        if (format != "luks")
        {
            throw new CommandException($"'{format}' is no encryption for new images: only luks is.");
        }

        var luks = LuksOptions.Default;
        var mode = Take(options, "encrypt.cipher-mode", static text => text, "xts");
        var vector = Take(options, "encrypt.ivgen-alg", static text => text, "plain64");
        var vectorHash = Take(options, "encrypt.ivgen-hash-alg", static text => text, "sha256");
        var keyBits = Take(options, "encrypt.cipher-alg", KeyBits, 256);
        return luks with
        {
            CipherMode = $"{mode}-{vector}{(vector == "essiv" ? ":" + vectorHash : "")}",
            KeyBytes = keyBits / 8 * (mode == "xts" ? 2 : 1),
            HashName = Take(options, "encrypt.hash-alg", static text => text, luks.HashName),
            Iterations = Take(options, "encrypt.iterations", OptionText.Number, luks.Iterations),
        };
    }

    /// <summary>Refuses what nobody took.</summary>
    public static void RefuseOthers(Dictionary<string, string> options)
    {
        if (options.Count > 0)
        {
            throw new CommandException($"Invalid parameter '{options.Keys.First()}'");
        }
    }

    /// <summary>What qemu-img prints of a new image: what it is, and what else was asked for.</summary>
    /// <param name="options">What it is.</param>
    /// <param name="given">The options as they were written.</param>
    public static string Describe(QcowCreateOptions options, IReadOnlyDictionary<string, string> given)
    {
        var shape = options.Shape;
        (string Name, object? Value)[] values =
        [
            .. EncryptionNames.Select(name => (name, (object?)given.GetValueOrDefault(name))),
            ("cluster_size", shape.ClusterSize),
            ("extended_l2", OnOff(shape.ExtendedL2)),
            ("preallocation", given.GetValueOrDefault("preallocation")),
            ("compression_type", shape.Compression == ClusterCompression.Zstd ? "zstd" : "zlib"),
            ("size", options.Size),
            ("compat", given.GetValueOrDefault("compat")),
            ("backing_file", options.BackingName),
            ("backing_fmt", options.BackingFormat),
            ("data_file", options.DataFileName),
            ("data_file_raw", given.ContainsKey("data_file_raw") ? OnOff(options.IsDataFileRaw) : null),
            ("lazy_refcounts", OnOff(shape.LazyRefcounts)),
            ("refcount_bits", shape.RefcountBits),
        ];
        return "fmt=qcow2" + string.Concat(
            from value in values
            where value.Value is not null
            select string.Create(CultureInfo.InvariantCulture, $" {value.Name}={value.Value}"));
    }

    /// <summary>Reads a preallocation.</summary>
    public static Preallocation ReadPreallocation(string text) => text switch
    {
        "off" => Preallocation.Off,
        "metadata" => Preallocation.Metadata,
        "falloc" => Preallocation.FAlloc,
        "full" => Preallocation.Full,
        _ => throw new CommandException($"'{text}' is no preallocation: off, metadata, falloc or full."),
    };

    private static T Take<T>(Dictionary<string, string> options, string name, Func<string, T> read, T otherwise) =>
        options.Remove(name, out var text) ? read(text) : otherwise;

    private static string OnOff(bool flag) => flag ? "on" : "off";

    private static int ClusterSize(string text) => Sizes.Parse(text) is var size and >= 512 and <= 2 << 20
        ? (int)size
        : throw new CommandException("Cluster size must be a power of two between 512 and 2048k.");

    private static int KeyBits(string text) => text switch
    {
        "aes-128" => 128,
        "aes-192" => 192,
        "aes-256" => 256,
        _ => throw new CommandException($"'{text}' is no cipher here: aes-128, aes-192 or aes-256."),
    };

    private static ClusterCompression Compression(string text) => text switch
    {
        "zlib" => ClusterCompression.Deflate,
        "zstd" => ClusterCompression.Zstd,
        _ => throw new CommandException($"'{text}' is no compression: zlib or zstd."),
    };
}
