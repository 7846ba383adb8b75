using System.Xml;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>What the descriptor of a virtual machine (DMTF DSP0243, OVF) says of its disk.</summary>
/// <param name="DiskName">Reference to the one disk's file; see <see cref="OvaNames"/>.</param>
/// <param name="IsCompressed">Whether that file is compressed with gzip.</param>
/// <param name="Properties">Properties for the image, by name.</param>
internal sealed record OvfDescriptor(string DiskName, bool IsCompressed, IReadOnlyDictionary<string, string> Properties)
{
    /// <summary>Longest descriptor, bytes.</summary>
    public const int BytesMax = 4 << 20;

    private const int ValueLengthMax = 255;
    private const int DepthMax = 64;
    private const string Allocation =
        "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ProcessorAllocationSettingData";

    private const string PropertyPrefix = "cim_pasd_";

    // A document type, and with it every entity, is refused; nothing outside of the document is looked at.
    private static readonly XmlReaderSettings Strict = new()
    {
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        MaxCharactersInDocument = BytesMax,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
    };

    /// <summary>Reads a descriptor.</summary>
    /// <param name="bytes">The document.</param>
    /// <param name="wanted">Names of CIM_ProcessorAllocationSettingData that become properties cim_pasd_NAME, as
    /// Glance's ovf-metadata.json lists them.</param>
    /// <exception cref="RegistryException">ImageRejected: it is damaged, or describes another number of disks than one, or
    /// a disk that is not a whole file.</exception>
    public static OvfDescriptor Read(byte[] bytes, IReadOnlyCollection<string> wanted)
    {
        var (files, disks, properties) = (
            new Dictionary<string, OvfFile>(StringComparer.Ordinal), new List<string>(),
            new Dictionary<string, string>(StringComparer.Ordinal));
        try
        {
            using var xml = XmlReader.Create(new MemoryStream(bytes, writable: false), Strict);
            while (xml.Read())
            {
                if (xml.Depth > DepthMax)
                {
                    throw Refused("its descriptor is nested too deeply", "descriptor");
                }

                if (xml.NodeType == XmlNodeType.Element)
                {
                    ReadElement(xml, wanted, files, disks, properties);
                }
            }
        }
        catch (XmlException e)
        {
            throw Refused("its descriptor is damaged, or has a document type", "descriptor", e);
        }

        var file = disks is [var only]
            ? only
            : throw Refused($"its descriptor has {disks.Count} disks, and only one is taken", "disks");
        return files.TryGetValue(file, out var found)
            ? new OvfDescriptor(found.Name, RequireWhole(found), properties)
            : throw Refused("its descriptor names a disk that it has no file for", "descriptor");
    }

    private static void ReadElement(
        XmlReader xml,
        IReadOnlyCollection<string> wanted,
        Dictionary<string, OvfFile> files,
        List<string> disks,
        Dictionary<string, string> properties)
    {
        if (xml.NamespaceURI == Allocation && wanted.Contains(xml.LocalName))
        {
            var name = PropertyPrefix + xml.LocalName;
            var value = ReadText(xml);
            if (value.Length > ValueLengthMax || (properties.TryGetValue(name, out var before) && before != value))
            {
                throw Refused($"its descriptor says {name} twice, or at too great a length", "descriptor");
            }

            properties[name] = value;
            return;
        }

        switch (xml.LocalName)
        {
            case "File" when Attribute(xml, "id") is { } id && Attribute(xml, "href") is { } href:
                var file = new OvfFile(href, Attribute(xml, "compression") ?? "", Attribute(xml, "chunkSize"));
                if (!files.TryAdd(id, file))
                {
                    throw Refused("its descriptor has two files of one id", "descriptor");
                }

                break;
            case "Disk" when Attribute(xml, "fileRef") is { } reference:
                disks.Add(reference);
                break;
        }
    }

    // Other files of the package, such as discs, may be as they like.
    private static bool RequireWhole(OvfFile file)
    {
        if (file.ChunkSize is not null)
        {
            throw Refused("its disk is cut in pieces (chunkSize): put it together", "compressed");
        }

        return file.Compression switch
        {
            "" or "identity" => false,
            "gzip" => true,
            _ => throw Refused("its disk is compressed in another way than gzip", "compressed"),
        };
    }

    // Up to the end tag; of anything but text there is nothing.
    private static string ReadText(XmlReader xml)
    {
        if (xml.IsEmptyElement)
        {
            return "";
        }

        var text = "";
        while (xml.Read() && xml.NodeType is XmlNodeType.Text or XmlNodeType.CDATA or XmlNodeType.Whitespace
            or XmlNodeType.SignificantWhitespace)
        {
            text = text.Length <= ValueLengthMax ? text + xml.Value : throw Refused("it has too long a text", "descriptor");
        }

        return xml.NodeType == XmlNodeType.EndElement
            ? text.Trim()
            : throw Refused("its descriptor is damaged", "descriptor");
    }

    // Whatever its namespace: products differ in it.
    private static string? Attribute(XmlReader xml, string name)
    {
        string? found = null;
        while (xml.MoveToNextAttribute())
        {
            found = xml.LocalName == name ? found ?? xml.Value : found;
        }

        xml.MoveToElement();
        return found;
    }

    private static RegistryException Refused(string why, string reason, Exception? cause = null) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_" + reason, cause);

    private sealed record OvfFile(string Name, string Compression, string? ChunkSize);
}
