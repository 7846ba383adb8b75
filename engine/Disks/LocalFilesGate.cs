using System.Text.Json;
using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>Opens what a local image names, as qemu-img does for local files. For images that the user chose, never for
/// uploads.</summary>
/// <remarks>A relative name is relative to the directory of the image that has it. <c>file:PATH</c> and
/// <c>json:{...}</c> objects that end at a local file are understood, with paths relative to the process; every other
/// protocol is refused by its name. A format that is not recorded is found out by the first bytes; a recorded one is
/// believed.</remarks>
/// <param name="imagePath">The image whose references are decided on.</param>
public sealed class LocalFilesGate(string imagePath) : IOpenGate
{
    private const int MaxJsonDepth = 8;

    /// <summary>Whether external data files are opened to be written too; backing files never are.</summary>
    public bool MayWriteData { get; init; }

    /// <summary>Whether files that other processes write to are opened too; otherwise they are claimed as
    /// <see cref="ImageUse.Read"/> says.</summary>
    public bool IsShared { get; init; }

    /// <summary>Whether raw files too must not be written to by other processes: for a copy, which has to be of one
    /// moment.</summary>
    public bool DeniesWriters { get; init; }

    /// <summary>A file that the opener has claimed already (<see cref="FileBytes.Identity"/>); null for none.</summary>
    public string? Claimed { get; init; }

    /// <inheritdoc/>
    public async ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken)
    {
        var (path, driver) = Resolve(imagePath, name);
        var isWritten = kind == ReferenceKind.DataFile && MayWriteData;
        var bytes = isWritten ? FileBytes.OpenWrite(path) : FileBytes.OpenRead(path);
        try
        {
            var known = driver ?? format ?? (kind == ReferenceKind.DataFile
                ? DiskFormat.Raw
                : await DiskImages.DetectAsync(bytes, cancellationToken).ConfigureAwait(false));
            var identity = bytes.Identity();
            if (identity != Claimed)
            {
                bytes.Claim(isWritten ? ImageUse.Write : UseOf(known));
            }

            var gate = new LocalFilesGate(path) { IsShared = IsShared, DeniesWriters = DeniesWriters, Claimed = Claimed };
            return new OpenedReference(bytes, known, path, identity, gate);
        }
        catch
        {
            await bytes.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>What reading a file of a format means to other processes.</summary>
    public ImageUse UseOf(DiskFormat format) =>
        IsShared || (format == DiskFormat.Raw && !DeniesWriters) ? ImageUse.Shared : ImageUse.Read;

    /// <summary>A name in an image as it is said from outside: relative to the image, unless it names a
    /// protocol.</summary>
    /// <param name="imagePath">The image.</param>
    /// <param name="name">The name in it.</param>
    public static string FullName(string imagePath, string name)
    {
        ArgumentNullException.ThrowIfNull(imagePath);
        ArgumentNullException.ThrowIfNull(name);
        return Protocol(name) is not null || Path.IsPathRooted(name) ? name : Combine(imagePath, name);
    }

    /// <summary>The path of the file that a name in an image leads to.</summary>
    /// <param name="imagePath">The image.</param>
    /// <param name="name">The name in it.</param>
    /// <exception cref="ImageFormatException">The name is of another protocol than local files.</exception>
    public static string PathOf(string imagePath, string name) => Resolve(imagePath, name).Path;

    private static (string Path, DiskFormat? Driver) Resolve(string imagePath, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length == 0 || name.Contains('\0', StringComparison.Ordinal))
        {
            throw Refused("The image names a file without a name.");
        }

        if (name.StartsWith("json:", StringComparison.Ordinal))
        {
            return FromJson(name["json:".Length..]);
        }

        var protocol = Protocol(name);
        if (protocol == "file")
        {
            return (name["file:".Length..], null);
        }

        if (protocol is not null)
        {
            throw Refused($"The image names a file by the protocol \"{Printable(protocol)}\", which is not supported.");
        }

        return (Path.IsPathRooted(name) ? name : Combine(imagePath, name), null);
    }

    /// <summary>What comes before a colon that comes before any slash, as in QEMU.</summary>
    private static string? Protocol(string name)
    {
        var end = name.AsSpan().IndexOfAny(':', '/');
        return end > 0 && name[end] == ':' ? name[..end] : null;
    }

    private static string Combine(string imagePath, string name)
    {
        var slash = imagePath.LastIndexOf('/');
        return slash < 0 ? name : imagePath[..(slash + 1)] + name;
    }

    private static (string Path, DiskFormat? Driver) FromJson(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxJsonDepth });
            return FromNode(document.RootElement, "", null);
        }
        catch (JsonException e)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature, $"The image names a file by JSON that is malformed: {e.Message}");
        }
    }

    /// <summary>Walks from a format's node to the file's; nested objects and dotted keys mean the same.</summary>
    private static (string Path, DiskFormat? Driver) FromNode(JsonElement node, string prefix, DiskFormat? format)
    {
        if (node.ValueKind != JsonValueKind.Object || prefix.Length > "file.".Length * MaxJsonDepth)
        {
            throw Refused("The image names a file by JSON that does not lead to a local file.");
        }

        var driver = Text(node, prefix + "driver");
        if (driver is null or "file" or "host_device" && Text(node, prefix + "filename") is { } path)
        {
            return (path, format);
        }

        DiskFormat? named = driver switch
        {
            null => null,
            "raw" => DiskFormat.Raw,
            "qcow2" => DiskFormat.Qcow2,
            _ => throw Refused(
                $"The image names a file by the driver \"{Printable(driver)}\", which is not supported."),
        };
        format ??= named;
        return node.TryGetProperty(prefix + "file", out var file)
            ? FromNode(file, "", format)
            : FromNode(node, prefix + "file.", format);
    }

    private static string? Text(JsonElement node, string name) =>
        node.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static string Printable(string text) =>
        string.Concat(text.Take(64).Select(letter => letter is >= ' ' and < '\x7f' and not '"' ? letter : '?'));

    private static ImageFormatException Refused(string message) => new(FormatError.UnsupportedFeature, message);
}
