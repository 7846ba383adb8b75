using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>What follows the header in cluster 0, to change and to write again: extensions that are not understood stay
/// as they are (format, section 2).</summary>
internal sealed class HeaderArea
{
    /// <summary>Extension: the backing file's format.</summary>
    public const uint BackingFormat = 0xE2792ACA;

    /// <summary>Extension: the external data file's name.</summary>
    public const uint DataFile = 0x44415441;

    /// <summary>Extension: where the encryption header is.</summary>
    public const uint Encryption = 0x0537BE77;

    /// <summary>Extension: where the bitmaps are.</summary>
    public const uint Bitmaps = 0x23852875;

    /// <summary>Extension: names of feature bits.</summary>
    public const uint FeatureNames = 0x6803F857;

    // QEMU's order; whatever else there is follows as it was.
    private static readonly uint[] Order = [BackingFormat, DataFile, Encryption, Bitmaps, FeatureNames];

    private readonly List<(uint Type, byte[] Data)> extensions = [];
    private readonly byte[] unknownFields;

    private HeaderArea(byte[] unknownFields) => this.unknownFields = unknownFields;

    /// <summary>The backing file's name; null for none.</summary>
    public string? BackingName { get; set; }

    /// <summary>An area without extensions.</summary>
    public static HeaderArea Empty() => new([]);

    /// <summary>Takes apart cluster 0, which has been judged.</summary>
    public static HeaderArea Parse(ReadOnlySpan<byte> cluster, in QcowHeader header)
    {
        var known = Math.Min((int)header.HeaderLength, QcowHeader.Version3Size);
        var area = new HeaderArea(cluster[known..(int)header.HeaderLength].ToArray());
        var end = header.BackingNameOffset != 0 ? (int)header.BackingNameOffset : cluster.Length;
        for (var at = (int)header.HeaderLength; at + 8 <= end;)
        {
            var type = BinaryPrimitives.ReadUInt32BigEndian(cluster[at..]);
            var length = BinaryPrimitives.ReadInt32BigEndian(cluster[(at + 4)..]);
            if (type == 0)
            {
                break;
            }

            area.extensions.Add((type, cluster.Slice(at + 8, length).ToArray()));
            at += 8 + ((length + 7) & ~7);
        }

        if (header.BackingNameOffset != 0)
        {
            area.BackingName = Encoding.UTF8.GetString(
                cluster.Slice((int)header.BackingNameOffset, (int)header.BackingNameLength));
        }

        return area;
    }

    /// <summary>An extension's bytes; null when there is none.</summary>
    public byte[]? this[uint type]
    {
        get => extensions.Find(extension => extension.Type == type).Data;
        set
        {
            extensions.RemoveAll(extension => extension.Type == type);
            if (value is not null)
            {
                extensions.Add((type, value));
            }
        }
    }

    /// <summary>Writes header and extensions.</summary>
    /// <param name="header">The header; where the backing name is follows from the area.</param>
    /// <param name="cluster">Receives cluster 0.</param>
    /// <returns>The header as written.</returns>
    /// <exception cref="DiskOperationException">It does not fit into one cluster.</exception>
    public QcowHeader WriteTo(QcowHeader header, Span<byte> cluster)
    {
        cluster.Clear();
        var at = (int)header.HeaderLength;
        var name = BackingName is null ? [] : Encoding.UTF8.GetBytes(BackingName);
        foreach (var (type, data) in Sorted())
        {
            var length = 8 + ((data.Length + 7) & ~7);
            if (at + length + 8 + name.Length > cluster.Length)
            {
                if (type == FeatureNames)
                {
                    continue; // only help for messages; QEMU leaves it out too
                }

                throw DoesNotFit();
            }

            BinaryPrimitives.WriteUInt32BigEndian(cluster[at..], type);
            BinaryPrimitives.WriteInt32BigEndian(cluster[(at + 4)..], data.Length);
            data.CopyTo(cluster[(at + 8)..]);
            at += length;
        }

        at += 8; // the end record
        if (name.Length > QcowHeader.MaxBackingNameBytes || at + name.Length > cluster.Length)
        {
            throw DoesNotFit();
        }

        name.CopyTo(cluster[at..]);
        header = header with
        {
            BackingNameOffset = BackingName is null ? 0 : (ulong)at,
            BackingNameLength = (uint)name.Length,
        };
        Span<byte> fields = stackalloc byte[QcowHeader.Version3Size];
        header.WriteTo(fields);
        var known = Math.Min((int)header.HeaderLength, fields.Length);
        fields[..known].CopyTo(cluster);
        unknownFields.AsSpan(0, Math.Min(unknownFields.Length, (int)header.HeaderLength - known))
            .CopyTo(cluster[known..]);
        return header;
    }

    /// <summary>The names of all feature bits that are known, 48 bytes each.</summary>
    public static byte[] KnownFeatureNames()
    {
        (byte Kind, byte Bit, string Name)[] names =
        [
            (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
            (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
        ];
        var bytes = new byte[names.Length * 48];
        for (var i = 0; i < names.Length; i++)
        {
            bytes[i * 48] = names[i].Kind;
            bytes[(i * 48) + 1] = names[i].Bit;
            Encoding.ASCII.GetBytes(names[i].Name, bytes.AsSpan((i * 48) + 2));
        }

        return bytes;
    }

    private static DiskOperationException DoesNotFit() =>
        new("The header, its extensions and the backing file's name do not fit into one cluster.");

    private IEnumerable<(uint Type, byte[] Data)> Sorted() => extensions
        .OrderBy(static extension => Array.IndexOf(Order, extension.Type) is var place and >= 0 ? place : Order.Length);
}
