using System.Globalization;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Vmdk;

/// <summary>The text inside a VMDK that says how its bytes are stored.</summary>
/// <remarks>Only what is understood passes: every line is a comment, a known kind of setting, or the one extent, which
/// is this very file. Nothing named here is ever opened. Names are in whatever encoding the program wrote them in
/// (UTF-8, GBK, Shift-JIS, a Windows code page): their bytes are opaque, so the text is read byte by byte as
/// Latin-1.</remarks>
/// <param name="CreateType">How the disk is stored: monolithicSparse or streamOptimized.</param>
/// <param name="ExtentSectors">Length of the extent in sectors of 512 bytes.</param>
/// <param name="ContentId">Identity of the content (CID).</param>
/// <param name="ParentContentId">Identity of the parent's content; all ones for none.</param>
internal sealed record VmdkDescriptor(string CreateType, ulong ExtentSectors, uint ContentId, uint ParentContentId)
{
    /// <summary>Bytes of a file that tell a descriptor on its own.</summary>
    public const int MaxStandaloneBytes = 4096;

    // Blanks of ASCII only: 0x85 and 0xA0, which Latin-1 counts as blanks, are parts of letters elsewhere.
    private static readonly char[] Blanks = [' ', '\t', '\r', '\v', '\f'];

    private const uint NoParent = uint.MaxValue;

    // A CID that lost digits makes the text shorter, and QEMU then leaves the end of the old one behind the new one's
    // NUL. No setting fits in so little.
    private const int MaxLeftoverBytes = 8;

    private static readonly string[] AllowedTypes = ["monolithicSparse", "streamOptimized"];
    private static readonly string[] OtherTypes =
    [
        "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfs", "vmfsSparse", "vmfsThin", "vmfsRaw",
        "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap", "fullDevice", "partitionedDevice", "seSparse", "custom",
    ];

    private static readonly string[] Accesses = ["RW", "RDONLY", "NOACCESS"];

    /// <summary>Whether a file is a descriptor on its own, which describes other files.</summary>
    /// <param name="head">The file's first bytes.</param>
    public static bool IsStandalone(ReadOnlySpan<byte> head)
    {
        var text = head[..Math.Min(head.Length, MaxStandaloneBytes)];
        if (Ascii.EqualsIgnoreCase(text[..Math.Min(text.Length, 21)], "# Disk DescriptorFile"u8))
            return true;

        // As QEMU probes: comments and blank lines, then the version.
        while (true)
        {
            var end = text.IndexOf((byte)'\n');
            if (end < 0)
                return false;

            var line = text[..end].Trim(" \r"u8);
            if (line.SequenceEqual("version=1"u8) || line.SequenceEqual("version=2"u8)
                || line.SequenceEqual("version=3"u8))
                return true;

            if (!line.IsEmpty && line[0] != '#')
                return false;

            text = text[(end + 1)..];
        }
    }

    /// <summary>Reads and checks a descriptor.</summary>
    /// <param name="bytes">The descriptor, padded with zeroes.</param>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public static VmdkDescriptor Parse(ReadOnlySpan<byte> bytes)
    {
        var nul = bytes.IndexOf((byte)0);
        var text = nul < 0 ? bytes : bytes[..nul];
        if (bytes[text.Length..].Trim((byte)0).Length > MaxLeftoverBytes)
            throw Malformed();

        if (text.StartsWith(Encoding.UTF8.Preamble))
            text = text[Encoding.UTF8.Preamble.Length..];

        string? createType = null;
        ulong? extentSectors = null;
        uint contentId = 0;
        foreach (var part in Encoding.Latin1.GetString(text).Split('\n'))
        {
            var line = part.Trim(Blanks);
            if (line.Length == 0 || line[0] == '#' || line.StartsWith("ddb.", StringComparison.OrdinalIgnoreCase))
                continue;

            if (Accesses.Contains(line.Split(Blanks)[0], StringComparer.OrdinalIgnoreCase))
                extentSectors = extentSectors is null ? ParseExtent(line) : throw OtherFiles();
            else if (Setting(line) is not var (key, value))
                throw Malformed();
            else if (key.Equals("createType", StringComparison.OrdinalIgnoreCase))
                createType = createType is null ? ParseCreateType(value) : throw Malformed();
            else if (key.Equals("CID", StringComparison.OrdinalIgnoreCase))
                contentId = ParseId(value);
            else
                RefuseParent(key, value);
        }

        if (createType is null)
            throw Malformed();

        return new VmdkDescriptor(createType, extentSectors ?? throw OtherFiles(), contentId, NoParent);
    }

    /// <summary>Why a file that is no sparse extent with a descriptor cannot be read.</summary>
    /// <param name="head">Its first bytes.</param>
    public static ImageFormatException RefuseOthers(ReadOnlySpan<byte> head)
    {
        if (head.StartsWith("COWD"u8))
            return new ImageFormatException(FormatError.UnsupportedFeature, "ESX sparse extents are not accepted.", 0);

        if (!IsStandalone(head))
            return new ImageFormatException(FormatError.BadMagic, "The file is not a VMDK image.", 0);

        var text = Encoding.Latin1.GetString(head[..Math.Min(head.Length, MaxStandaloneBytes)]);
        var type = OtherTypes.FirstOrDefault(type => text.Contains($"createType=\"{type}\"", StringComparison.Ordinal));
        return new ImageFormatException(
            FormatError.DataFileRefused,
            type is null
                ? "A VMDK descriptor on its own describes other files."
                : $"A VMDK of type {type} keeps its data in other files, which are not opened.",
            0);
    }

    private static (string Key, string Value)? Setting(string line)
    {
        var equals = line.IndexOf('=');
        if (equals <= 0)
            return null;

        var key = line[..equals].TrimEnd(Blanks);
        return key.Contains(' ') ? null : (key, line[(equals + 1)..].Trim(Blanks));
    }

    // Shown to the user only: what is no number is none.
    private static uint ParseId(string value) =>
        uint.TryParse(value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var id) ? id : 0;

    private static string ParseCreateType(string value) =>
        AllowedTypes.FirstOrDefault(type => value == $"\"{type}\"") ?? throw new ImageFormatException(
            FormatError.UnsupportedFeature,
            "Only VMDKs of type monolithicSparse and streamOptimized are accepted.", VmdkHeader.Size);

    private static void RefuseParent(string key, string value)
    {
        var hasParent = key.Equals("parentFileNameHint", StringComparison.OrdinalIgnoreCase)
            || (key.Equals("parentCID", StringComparison.OrdinalIgnoreCase)
                && !value.Equals("ffffffff", StringComparison.OrdinalIgnoreCase));
        if (hasParent)
        {
            throw new ImageFormatException(
                FormatError.BackingFileRefused,
                "The VMDK holds the changes to a parent, which is not allowed here.", VmdkHeader.Size);
        }
    }

    // ACCESS SECTORS SPARSE "NAME"
    private static ulong ParseExtent(string line)
    {
        var quote = line.IndexOf('"');
        var words = (quote < 0 ? line : line[..quote]).Split(Blanks, StringSplitOptions.RemoveEmptyEntries);
        if (words.Length != 3 || !ulong.TryParse(words[1], out var sectors))
            throw OtherFiles();

        if (!words[2].Equals("SPARSE", StringComparison.OrdinalIgnoreCase))
            throw OtherFiles();

        var name = quote < 0 ? "" : line[quote..];
        return name.Length > 2 && name[^1] == '"' && !IsPath(name.AsSpan()[1..^1]) ? sectors : throw OtherFiles();
    }

    // After a byte beyond ASCII a backslash is the second half of a letter, as in Shift-JIS, GBK and Big5.
    private static bool IsPath(ReadOnlySpan<char> name)
    {
        var before = '\0';
        foreach (var letter in name)
        {
            if (letter is '"' or '/' or ':' || (letter == '\\' && before < 0x80))
                return true;

            before = letter;
        }

        return false;
    }

    private static ImageFormatException Malformed() =>
        new(FormatError.InvalidHeader, "The VMDK descriptor is malformed.", VmdkHeader.Size);

    private static ImageFormatException OtherFiles() => new(
        FormatError.DataFileRefused,
        "The VMDK must have exactly one sparse extent, and name no path.", VmdkHeader.Size);
}
