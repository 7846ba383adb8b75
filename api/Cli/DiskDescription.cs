using System.Text.Json;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Vmdk;

namespace Registry.Api.Cli;

/// <summary>What an image file says of itself, as qemu-img info shows it.</summary>
internal sealed class DiskDescription
{
    private readonly List<(string Name, object Value)> _specifics = [];
    private readonly QcowImage? _image;
    private readonly string _path;
    private readonly string _format;
    private readonly long _virtualSize;
    private readonly long _allocated;
    private readonly long? _clusterSize;
    private QcowSnapshots _snapshots = new([], 0);

    private DiskDescription(DiskFile disk, string path)
    {
        _path = path;
        _format = disk.FormatName;
        _virtualSize = disk.Image.VirtualSize;
        _allocated = disk.Bytes.AllocatedBytes();
        _image = disk.Image as QcowImage;
        _clusterSize = disk.Image switch
        {
            QcowImage image => image.ClusterSize,
            BlockImage image => image.BlockBytes,
            _ => null,
        };
    }

    /// <summary>The backing file's format as the image has it.</summary>
    public string? BackingFormat => _image?.Extensions.BackingFormat;

    /// <summary>Where the backing file is; null when there is none.</summary>
    public string? FullBackingName { get; private set; }

    private bool IsEncrypted => _image?.Header.CryptMethod is > 0;

    private bool IsDirty => _image?.Header.Incompatible.HasFlag(QcowIncompatible.Dirty) ?? false;

    /// <summary>Asks an open disk.</summary>
    public static async Task<DiskDescription> ReadAsync(
        DiskFile disk, string path, CancellationToken cancellationToken)
    {
        var result = new DiskDescription(disk, path);
        if (disk.Image is VmdkImage vmdk)
        {
            result._specifics.AddRange(Specifics(vmdk, path));
        }

        if (result._image is not { } image)
        {
            return result;
        }

        if (image.Extensions.BackingName is { } name)
        {
            result.FullBackingName = LocalFilesGate.FullName(path, name);
        }

        result._snapshots = await image.ReadSnapshotsAsync(cancellationToken);
        var bitmaps = image.Header.Autoclear.HasFlag(QcowAutoclear.Bitmaps)
            ? await image.ReadBitmapsAsync(cancellationToken)
            : [];
        result._specifics.AddRange(Specifics(image, bitmaps));
        return result;
    }

    /// <summary>Prints it for people.</summary>
    public void WriteHuman()
    {
        Terminal.WriteLine($"image: {_path}");
        Console.WriteLine($"file format: {_format}");
        Console.WriteLine($"virtual size: {Sizes.Show(_virtualSize)} ({_virtualSize} bytes)");
        Console.WriteLine($"disk size: {Sizes.Show(_allocated)}");
        Console.Write(IsEncrypted ? "encrypted: yes\n" : "");
        Console.Write(_clusterSize is null ? "" : $"cluster_size: {_clusterSize}\n");
        Console.Write(IsDirty ? "cleanly shut down: no\n" : "");
        if (_image?.Extensions.BackingName is { } name)
        {
            var actual = name == FullBackingName ? "" : $" (actual path: {FullBackingName})";
            Terminal.WriteLine($"backing file: {name}{actual}");
            Console.Write(BackingFormat is null ? "" : $"backing file format: {Terminal.Printable(BackingFormat)}\n");
        }

        DiskSnapshotCommand.Write(_snapshots.Items);
        if (_specifics.Count > 0)
        {
            Console.WriteLine("Format specific information:");
            WriteHuman(_specifics, 4);
        }
    }

    /// <summary>Prints it for scripts.</summary>
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        if (BackingFormat is not null && FullBackingName is not null)
        {
            json.WriteString("backing-filename-format", BackingFormat);
        }

        WriteSnapshots(json);
        json.WriteNumber("virtual-size", _virtualSize);
        json.WriteString("filename", _path);
        if (_clusterSize is { } clusterSize)
        {
            json.WriteNumber("cluster-size", clusterSize);
        }

        json.WriteString("format", _format);
        json.WriteNumber("actual-size", _allocated);
        if (_specifics.Count > 0)
        {
            json.WriteStartObject("format-specific");
            json.WriteString("type", _format);
            json.WritePropertyName("data");
            WriteJson(json, _specifics);
            json.WriteEndObject();
        }

        if (IsEncrypted)
        {
            json.WriteBoolean("encrypted", true);
        }

        if (FullBackingName is not null)
        {
            json.WriteString("full-backing-filename", FullBackingName);
            json.WriteString("backing-filename", _image!.Extensions.BackingName);
        }

        json.WriteBoolean("dirty-flag", IsDirty);
        json.WriteEndObject();
    }

    private static IEnumerable<(string Name, object Value)> Specifics(
        QcowImage image, IReadOnlyList<QcowBitmap> bitmaps)
    {
        var header = image.Header;
        yield return ("compat", header.Version == 2 ? "0.10" : "1.1");
        yield return ("compression-type", header.CompressionType == 0 ? "zlib" : "zstd");
        if (header.Version >= 3)
        {
            yield return ("lazy-refcounts", header.Compatible.HasFlag(QcowCompatible.LazyRefcounts));
            if (bitmaps.Count > 0)
            {
                yield return ("bitmaps", bitmaps.Select(Bitmap).ToList());
            }
        }

        yield return ("refcount-bits", 1L << (int)header.RefcountOrder);
        var hasDataFile = header.Incompatible.HasFlag(QcowIncompatible.DataFile);
        if (hasDataFile && image.Extensions.DataFileName is { } dataFile)
        {
            yield return ("data-file", dataFile);
        }

        if (header.CryptMethod != 0)
        {
            yield return ("encrypt", image.Luks is { } luks ? Luks(luks) : [("format", "aes")]);
        }

        if (hasDataFile)
        {
            yield return ("data-file-raw", header.Autoclear.HasFlag(QcowAutoclear.RawDataFile));
        }

        if (header.Version >= 3)
        {
            yield return ("corrupt", header.Incompatible.HasFlag(QcowIncompatible.Corrupt));
            yield return ("extended-l2", header.Incompatible.HasFlag(QcowIncompatible.ExtendedL2));
        }
    }

    private static IEnumerable<(string Name, object Value)> Specifics(VmdkImage image, string path)
    {
        yield return ("cid", (long)image.ContentId);
        yield return ("parent-cid", (long)image.ParentContentId);
        yield return ("create-type", image.CreateType);
        var extent = new List<(string, object)>
        {
            ("virtual-size", image.VirtualSize), ("filename", path), ("cluster-size", image.BlockBytes), ("format", ""),
        };
        if (image.IsCompressed)
        {
            extent.Insert(0, ("compressed", true));
        }

        yield return ("extents", new List<object> { extent });
    }

    private static object Bitmap(QcowBitmap bitmap)
    {
        var flags = new List<object>();
        if (bitmap.Flags.HasFlag(QcowBitmapFlags.InUse))
        {
            flags.Add("in-use");
        }

        if (bitmap.Flags.HasFlag(QcowBitmapFlags.Auto))
        {
            flags.Add("auto");
        }

        return new List<(string, object)>
        {
            ("flags", flags), ("name", bitmap.Name), ("granularity", bitmap.Granularity),
        };
    }

    private static List<(string Name, object Value)> Luks(LuksHeader luks)
    {
        var mode = luks.CipherMode.Split('-', ':');
        var keyBits = luks.KeyBytes * 8 / (mode[0] == "xts" ? 2 : 1);
        List<(string, object)> result = [("ivgen-alg", mode.Length > 1 ? mode[1] : "plain")];
        if (mode.Length > 2)
        {
            result.Add(("ivgen-hash-alg", mode[2]));
        }

        result.AddRange([
            ("hash-alg", luks.HashName),
            ("cipher-alg", $"{luks.CipherName}-{keyBits}"),
            ("uuid", luks.Uuid),
            ("format", "luks"),
            ("cipher-mode", mode[0]),
            ("slots", luks.Slots.Select(Slot).ToList()),
            ("payload-offset", luks.PayloadSector * 512L),
            ("master-key-iters", (long)luks.DigestIterations),
        ]);
        return result;
    }

    private static object Slot(LuksKeySlot slot)
    {
        var keyOffset = slot.MaterialSector * 512L;
        return slot.IsActive
            ? new List<(string, object)>
            {
                ("active", true), ("iters", (long)slot.Iterations), ("key-offset", keyOffset),
                ("stripes", (long)slot.Stripes),
            }
            : new List<(string, object)> { ("active", false), ("key-offset", keyOffset) };
    }

    private static void WriteHuman(IEnumerable<(string Name, object Value)> values, int indent)
    {
        foreach (var (name, value) in values)
        {
            Console.Write($"{new string(' ', indent)}{Terminal.Printable(name.Replace('-', ' '))}:");
            switch (value)
            {
                case List<(string, object)> nested:
                    Console.WriteLine();
                    WriteHuman(nested, indent + 4);
                    break;
                case List<object> list:
                    Console.WriteLine();
                    WriteHuman(list.Select((item, i) => ($"[{i}]", item)), indent + 4);
                    break;
                case bool flag:
                    Console.WriteLine(flag ? " true" : " false");
                    break;
                default:
                    Terminal.WriteLine($" {value}");
                    break;
            }
        }
    }

    private static void WriteJson(Utf8JsonWriter json, object value)
    {
        switch (value)
        {
            case List<(string Name, object Value)> nested:
                json.WriteStartObject();
                foreach (var (name, inner) in nested)
                {
                    json.WritePropertyName(name);
                    WriteJson(json, inner);
                }

                json.WriteEndObject();
                break;
            case List<object> list:
                json.WriteStartArray();
                list.ForEach(item => WriteJson(json, item));
                json.WriteEndArray();
                break;
            case bool flag:
                json.WriteBooleanValue(flag);
                break;
            case long number:
                json.WriteNumberValue(number);
                break;
            default:
                json.WriteStringValue((string)value);
                break;
        }
    }

    private void WriteSnapshots(Utf8JsonWriter json)
    {
        if (_snapshots.Items.Count == 0)
        {
            return;
        }

        json.WriteStartArray("snapshots");
        foreach (var snapshot in _snapshots.Items)
        {
            json.WriteStartObject();
            if (snapshot.InstructionCount is { } count)
            {
                json.WriteNumber("icount", count);
            }

            json.WriteNumber("vm-clock-nsec", snapshot.GuestClockNanoseconds % 1_000_000_000);
            json.WriteString("name", snapshot.Name);
            json.WriteNumber("date-sec", snapshot.Taken.ToUnixTimeSeconds());
            json.WriteNumber("date-nsec", snapshot.TakenNanoseconds);
            json.WriteNumber("vm-clock-sec", snapshot.GuestClockNanoseconds / 1_000_000_000);
            json.WriteString("id", snapshot.Id);
            json.WriteNumber("vm-state-size", snapshot.VmStateBytes);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
