using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>A name that the feature name table gives to a feature bit.</summary>
/// <param name="Kind">0 incompatible, 1 compatible, 2 autoclear.</param>
/// <param name="Bit">Bit number, 0 to 63.</param>
/// <param name="Name">The name, escaped: printable ASCII only.</param>
public readonly record struct QcowFeatureName(byte Kind, byte Bit, string Name);

/// <summary>A header extension that this reader does not interpret.</summary>
/// <param name="Type">The extension's type.</param>
/// <param name="Data">Its bytes, without the fill.</param>
public sealed record QcowUnknownExtension(uint Type, byte[] Data);

/// <summary>Where the bitmap directory is.</summary>
/// <param name="Count">Bitmaps, 1 to 65535.</param>
/// <param name="DirectorySize">Bytes of the directory.</param>
/// <param name="DirectoryOffset">File offset of the directory.</param>
public readonly record struct QcowBitmapsExtension(uint Count, ulong DirectorySize, ulong DirectoryOffset);

/// <summary>Where the full disk encryption header is.</summary>
/// <param name="Offset">File offset, a multiple of the cluster size.</param>
/// <param name="Length">Bytes, key slots included.</param>
public readonly record struct QcowEncryptionExtension(ulong Offset, ulong Length);

/// <summary>The header extensions and the backing file's name: what follows the header in cluster 0.</summary>
public sealed record QcowHeaderExtensions
{
    private const uint End = 0;
    private const uint BackingFormatType = 0xE2792ACA;
    private const uint FeatureNamesType = 0x6803F857;
    private const uint BitmapsType = 0x23852875;
    private const uint EncryptionType = 0x0537BE77;
    private const uint DataFileType = 0x44415441;
    private const int FeatureNameSize = 48;

    /// <summary>The backing file's name as the image has it, not escaped; null when there is none.</summary>
    public string? BackingName { get; private set; }

    /// <summary>The backing file's format, escaped; null when the image does not say.</summary>
    public string? BackingFormat { get; private set; }

    /// <summary>The external data file's name as the image has it, not escaped; null when there is none.</summary>
    public string? DataFileName { get; private set; }

    /// <summary>Where the full disk encryption header is; null when there is none.</summary>
    public QcowEncryptionExtension? Encryption { get; private set; }

    /// <summary>Where the bitmaps are; null when there are none.</summary>
    public QcowBitmapsExtension? Bitmaps { get; private set; }

    /// <summary>Names of feature bits.</summary>
    public IReadOnlyList<QcowFeatureName> FeatureNames { get; private set; } = [];

    /// <summary>Extensions of unknown type, in order.</summary>
    public IReadOnlyList<QcowUnknownExtension> Unknown { get; private set; } = [];

    /// <summary>Reads the extensions.</summary>
    /// <param name="cluster">Cluster 0, or as much of it as the file has.</param>
    /// <param name="header">The header, validated.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.InvalidExtension"/> or
    /// <see cref="FormatError.Truncated"/>.</exception>
    public static QcowHeaderExtensions Parse(ReadOnlySpan<byte> cluster, QcowHeader header)
    {
        var result = new QcowHeaderExtensions();
        var end = header.BackingNameOffset != 0 ? (int)header.BackingNameOffset : header.ClusterSize;
        if (end + (header.BackingNameOffset != 0 ? (int)header.BackingNameLength : 0) > cluster.Length
            && header.BackingNameOffset != 0)
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The file ends inside the backing file's name.", cluster.Length);
        }

        result.ParseRecords(
            cluster[..Math.Min(end, cluster.Length)], (int)header.HeaderLength, isWhole: end <= cluster.Length);
        if (header.BackingNameOffset != 0)
        {
            result.BackingName = Encoding.UTF8.GetString(cluster.Slice(end, (int)header.BackingNameLength));
        }

        return result;
    }

    /// <summary>The name of a feature bit, escaped; "bit N" where the image names none.</summary>
    /// <param name="kind">0 incompatible, 1 compatible, 2 autoclear.</param>
    /// <param name="bit">Bit number, 0 to 63.</param>
    public string FeatureName(byte kind, int bit)
    {
        foreach (var name in FeatureNames)
        {
            if (name.Kind == kind && name.Bit == bit && name.Name.Length > 0)
            {
                return $"bit {bit} \"{name.Name}\"";
            }
        }

        return $"bit {bit}";
    }

    /// <summary>Text taken from an image, made fit for a message: printable ASCII stays, the rest becomes
    /// '?'.</summary>
    internal static string Escape(ReadOnlySpan<byte> text)
    {
        var zero = text.IndexOf((byte)0);
        text = zero < 0 ? text : text[..zero];
        return string.Create(Math.Min(text.Length, 64), text, static (target, source) =>
        {
            for (var i = 0; i < target.Length; i++)
            {
                target[i] = source[i] is >= 0x20 and < 0x7f and not (byte)'"' and not (byte)'<' ? (char)source[i] : '?';
            }
        });
    }

    private void ParseRecords(ReadOnlySpan<byte> area, int position, bool isWhole)
    {
        var seen = new HashSet<uint>();
        var unknown = new List<QcowUnknownExtension>();
        while (position < area.Length)
        {
            if (position + 8 > area.Length)
            {
                if (isWhole)
                {
                    throw Invalid("The header extensions end inside a record.", position);
                }

                break;
            }

            var type = BinaryPrimitives.ReadUInt32BigEndian(area[position..]);
            var length = BinaryPrimitives.ReadUInt32BigEndian(area[(position + 4)..]);
            if (length > area.Length - position - 8)
            {
                throw Invalid($"The header extension 0x{type:x8} of {length} bytes ends outside its area.", position);
            }

            if (type == End)
            {
                break;
            }

            if (!seen.Add(type))
            {
                throw Invalid($"The header extension 0x{type:x8} occurs twice.", position);
            }

            ParseRecord(type, area.Slice(position + 8, (int)length), position, unknown);
            position = checked(position + 8 + (int)((length + 7) & ~7u));
        }

        Unknown = unknown;
    }

    private void ParseRecord(uint type, ReadOnlySpan<byte> data, int position, List<QcowUnknownExtension> unknown)
    {
        switch (type)
        {
            case BackingFormatType:
                if (data.Length >= 16)
                {
                    throw Invalid("The backing format's name is longer than 15 bytes.", position);
                }

                BackingFormat = Escape(data);
                break;
            case FeatureNamesType:
                FeatureNames = ParseFeatureNames(data);
                break;
            case BitmapsType:
                Bitmaps = ParseBitmaps(data, position);
                break;
            case EncryptionType:
                Encryption = data.Length == 16
                    ? new QcowEncryptionExtension(
                        Offset: BinaryPrimitives.ReadUInt64BigEndian(data),
                        Length: BinaryPrimitives.ReadUInt64BigEndian(data[8..]))
                    : throw Invalid("The encryption header extension is not 16 bytes long.", position);
                break;
            case DataFileType:
                DataFileName = Encoding.UTF8.GetString(data);
                break;
            default:
                unknown.Add(new QcowUnknownExtension(type, data.ToArray()));
                break;
        }
    }

    private static List<QcowFeatureName> ParseFeatureNames(ReadOnlySpan<byte> data)
    {
        var names = new List<QcowFeatureName>();
        for (; data.Length >= FeatureNameSize && names.Count < 192; data = data[FeatureNameSize..])
        {
            names.Add(new QcowFeatureName(Kind: data[0], Bit: data[1], Name: Escape(data[2..FeatureNameSize])));
        }

        return names;
    }

    private static QcowBitmapsExtension ParseBitmaps(ReadOnlySpan<byte> data, int position)
    {
        if (data.Length != 24)
        {
            throw Invalid("The bitmaps extension is not 24 bytes long.", position);
        }

        return BinaryPrimitives.ReadUInt32BigEndian(data[4..]) != 0
            ? throw Invalid("The reserved field of the bitmaps extension is not zero.", position)
            : new QcowBitmapsExtension(
            Count: BinaryPrimitives.ReadUInt32BigEndian(data),
            DirectorySize: BinaryPrimitives.ReadUInt64BigEndian(data[8..]),
            DirectoryOffset: BinaryPrimitives.ReadUInt64BigEndian(data[16..]));
    }

    private static ImageFormatException Invalid(string message, long offset) =>
        new(FormatError.InvalidExtension, message, offset);
}
