using Registry.Api.Images;
using Registry.Api.Outbound;

namespace Registry.Api.Import;

/// <summary>Registry:Import.</summary>
public sealed record ImportSection
{
    private const int TokenKeyMin = 16;

    /// <summary>Methods that are offered, separated by commas, in the order in which clients are told of them.</summary>
    public string Methods { get; init; } = "glance-direct,web-download,copy-image";

    /// <summary>Properties that images of other regions keep when they are taken over: beginnings of names, separated by
    /// commas.</summary>
    public string RemoteProperties { get; init; } = "hw_,trait:,os_distro,os_secure_boot,os_type";

    /// <summary>What the key is made from that seals users' tokens for imports from other regions, the same in all
    /// replicas; empty for the service user's password in Keystone.</summary>
    public string TokenKey { get; init; } = "";

    /// <summary>Whether bytes that come compressed (gzip, zstd, xz, bzip2, zip with one member) are unpacked. Never for
    /// container_format compressed.</summary>
    public bool Decompress { get; init; }

    /// <summary>Maximum number of bytes that one compressed byte may come to, over the whole and beyond the first 16 MiB.</summary>
    public int ExpansionMax { get; init; } = 1000;

    /// <summary>Whether an image of container_format ova becomes the disk that is in the archive. One that is not one
    /// descriptor and one plain disk is refused then.</summary>
    public bool OpenOva { get; init; }

    /// <summary>Names of CIM_ProcessorAllocationSettingData in an archive's descriptor that become properties
    /// cim_pasd_NAME of the image, separated by commas.</summary>
    public string OvfProperties { get; init; } = "ProcessorArchitecture,InstructionSet,InstructionSetExtensionName";

    /// <summary>Disk format that imported disks are converted to: qcow2 or raw; empty keeps them.</summary>
    public string ConvertTo { get; init; } = "";

    /// <summary>Properties that imported images get.</summary>
    public IReadOnlyDictionary<string, string> Inject { get; init; } = new Dictionary<string, string>();

    /// <summary>Roles whose imports get no <see cref="Inject"/>, separated by commas.</summary>
    public string InjectIgnoreRoles { get; init; } = "admin";

    /// <summary>Checks the values.</summary>
    /// <param name="hasCatalogue">Whether there is a Keystone, whose catalogue knows other regions.</param>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate(bool hasCatalogue)
    {
        RegistryOptions.Require(
            OutboundSection.Split(Methods).All(ImportMethods.All.Contains), "Registry:Import:Methods", Methods,
            "of " + string.Join(", ", ImportMethods.All));
        RegistryOptions.Require(
            hasCatalogue || !OutboundSection.Split(Methods).Contains(ImportMethods.Glance), "Registry:Import:Methods", Methods,
            $"without {ImportMethods.Glance} where Registry:Auth:Kind is not keystone");
        RegistryOptions.Require(
            TokenKey.Length is 0 or >= TokenKeyMin, "Registry:Import:TokenKey", "…", $"{TokenKeyMin} characters or more");
        RegistryOptions.Require(
            ConvertTo is "" or "qcow2" or "raw", "Registry:Import:ConvertTo", ConvertTo, "qcow2, raw or empty");
        RegistryOptions.Require(ExpansionMax > 0, "Registry:Import:ExpansionMax", $"{ExpansionMax}", "more than 0");
        RegistryOptions.Require(
            Inject.Keys.All(name => name.Length is > 0 and <= 255 && !ImageAttributes.IsBase(name)
                && !name.StartsWith("os_glance", StringComparison.Ordinal)),
            "Registry:Import:Inject", string.Join(',', Inject.Keys), "names of custom properties");
    }
}

/// <summary>The names of the import methods.</summary>
public static class ImportMethods
{
    /// <summary>From bytes that a client staged.</summary>
    public const string Direct = "glance-direct";

    /// <summary>From a URL.</summary>
    public const string Web = "web-download";

    /// <summary>From the image service of another region.</summary>
    public const string Glance = "glance-download";

    /// <summary>From one of the image's stores to others.</summary>
    public const string Copy = "copy-image";

    /// <summary>From a location that a client gave; asked for by other means than an import.</summary>
    public const string Location = "location";

    /// <summary>All methods that imports can ask for.</summary>
    public static IReadOnlyList<string> All { get; } = [Direct, Web, Copy, Glance];
}
