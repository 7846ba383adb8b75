using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text;

namespace Registry.Api.Tests.Ova;

/// <summary>Makes OVA archives.</summary>
public static class OvaArchive
{
    /// <summary>A descriptor of one disk.</summary>
    public const string Descriptor = """
        <?xml version="1.0" encoding="UTF-8"?>
        <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
            xmlns:pasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ProcessorAllocationSettingData">
          <References><File ovf:id="file1" ovf:href="disk.vmdk" ovf:size="1"/></References>
          <DiskSection>
            <Info>Disks</Info>
            <Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="64" ovf:capacityAllocationUnits="byte * 2^20"/>
          </DiskSection>
          <VirtualSystem ovf:id="vm">
            <VirtualHardwareSection><Item>
              <pasd:InstructionSet> DMTF:x86:i686 </pasd:InstructionSet>
              <pasd:ProcessorArchitecture>DMTF:x86:64</pasd:ProcessorArchitecture>
              <pasd:Limit>9</pasd:Limit>
            </Item></VirtualHardwareSection>
          </VirtualSystem>
        </Envelope>
        """;

    /// <summary>Makes an archive.</summary>
    public static byte[] Make(TarEntryFormat format, params (string Name, byte[] Content)[] files)
    {
        using var bytes = new MemoryStream();
        using (var tar = new TarWriter(bytes, format, leaveOpen: true))
        {
            foreach (var (name, content) in files)
            {
                tar.WriteEntry(Entry(format, name, content));
            }
        }

        return bytes.ToArray();
    }

    /// <summary>Makes an archive of a descriptor and a disk.</summary>
    public static byte[] Make(byte[] disk, string descriptor = Descriptor) => Make(
        TarEntryFormat.Ustar, ("vm.ovf", Encoding.UTF8.GetBytes(descriptor)),
        ("vm.mf", Encoding.UTF8.GetBytes($"SHA256(disk.vmdk)= {Convert.ToHexStringLower(SHA256.HashData(disk))}\n")),
        ("disk.vmdk", disk));

    /// <summary>The descriptor with another name of the disk.</summary>
    public static byte[] Naming(string href, string attributes = "") => Encoding.UTF8.GetBytes(
        Descriptor.Replace("ovf:href=\"disk.vmdk\"", $"ovf:href=\"{href}\" {attributes}", StringComparison.Ordinal));

    /// <summary>A regular file, or a folder where the name ends with a slash.</summary>
    public static TarEntry Entry(TarEntryFormat format, string name, byte[] content)
    {
        if (name.EndsWith('/'))
        {
            return format == TarEntryFormat.Gnu
                ? new GnuTarEntry(TarEntryType.Directory, name)
                : format == TarEntryFormat.Pax
                    ? new PaxTarEntry(TarEntryType.Directory, name)
                    : new UstarTarEntry(TarEntryType.Directory, name);
        }

        TarEntry entry = format switch
        {
            TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
            TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, name),
            TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, name),
            _ => new PaxTarEntry(TarEntryType.RegularFile, name),
        };
        entry.DataStream = new MemoryStream(content);
        return entry;
    }
}
