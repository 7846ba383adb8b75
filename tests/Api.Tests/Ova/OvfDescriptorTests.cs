using System.Text;
using Registry.Api.Ova;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Ova;

/// <summary>What a descriptor says of the disk.</summary>
public sealed class OvfDescriptorTests
{
    private static readonly string[] Wanted = ["InstructionSet", "ProcessorArchitecture", "Weight"];

    [Fact]
    public void The_disks_file_and_the_properties_that_are_wanted_are_read()
    {
        var descriptor = Read(OvaArchive.Descriptor);
        Assert.Equal("disk.vmdk", descriptor.DiskName);
        Assert.Equal(
            new Dictionary<string, string>
            {
                ["cim_pasd_InstructionSet"] = "DMTF:x86:i686",
                ["cim_pasd_ProcessorArchitecture"] = "DMTF:x86:64",
            },
            descriptor.Properties);
    }

    [Theory]
    [InlineData("ovf:compression=\"gzip\"", true)]
    [InlineData("ovf:compression=\"identity\"", false)]
    [InlineData("/><File ovf:id=\"disc\" ovf:href=\"x.iso\" ovf:compression=\"bzip2\" ovf:chunkSize=\"9\"", false)]
    public void A_disk_may_be_compressed_with_gzip_and_other_files_in_any_way(string text, bool isCompressed) =>
        Assert.Equal(
            isCompressed,
            Read(OvaArchive.Descriptor.Replace("ovf:size=\"1\"", text, StringComparison.Ordinal)).IsCompressed);

    [Fact]
    public void Other_encodings_are_read()
    {
        var text = OvaArchive.Descriptor.Replace("UTF-8", "UTF-16", StringComparison.Ordinal);
        Assert.Equal(
            "disk.vmdk", OvfDescriptor.Read([.. Encoding.Unicode.Preamble, .. Encoding.Unicode.GetBytes(text)], []).DiskName);
    }

    [Fact]
    public void Entities_are_refused_before_they_expand()
    {
        var bomb = new StringBuilder("<!DOCTYPE x [<!ENTITY a0 \"aaaaaaaaaa\">");
        for (var i = 1; i < 12; i++)
        {
            bomb.Append($"<!ENTITY a{i} \"{string.Concat(Enumerable.Repeat($"&a{i - 1};", 10))}\">");
        }

        Refuse(bomb + "]><Envelope>&a11;</Envelope>", "ova_descriptor");
        Refuse("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Envelope>&e;</Envelope>", "ova_descriptor");
        Refuse("<!DOCTYPE x SYSTEM \"http://127.0.0.1:1/x.dtd\"><Envelope/>", "ova_descriptor");
    }

    [Theory]
    [InlineData("<Disk ", "<Disk ovf:fileRef=\"file1\"/><Disk ", "ova_disks")]
    [InlineData("ovf:fileRef=\"file1\" ", "", "ova_disks")]
    [InlineData("ovf:fileRef=\"file1\"", "ovf:fileRef=\"other\"", "ova_descriptor")]
    [InlineData("ovf:size=\"1\"", "ovf:compression=\"bzip2\"", "ova_compressed")]
    [InlineData("ovf:size=\"1\"", "ovf:chunkSize=\"1000\"", "ova_compressed")]
    [InlineData("</References>", "<File ovf:id=\"file1\" ovf:href=\"x\"/></References>", "ova_descriptor")]
    [InlineData("<pasd:Limit>9</pasd:Limit>", "<pasd:InstructionSet>other</pasd:InstructionSet>", "ova_descriptor")]
    [InlineData("</Envelope>", "", "ova_descriptor")]
    [InlineData("DMTF:x86:64", "<x/>", "ova_descriptor")]
    public void What_is_not_one_plain_disk_is_refused(string text, string instead, string reason) =>
        Refuse(OvaArchive.Descriptor.Replace(text, instead, StringComparison.Ordinal), reason);

    [Fact]
    public void Depth_and_length_have_limits()
    {
        Refuse(string.Concat(Enumerable.Repeat("<a>", 5000)) + string.Concat(Enumerable.Repeat("</a>", 5000)), "ova_descriptor");
        Refuse(
            OvaArchive.Descriptor.Replace("DMTF:x86:64", new string('x', 5000), StringComparison.Ordinal), "ova_descriptor");
        var pieces = string.Concat(Enumerable.Repeat("<![CDATA[x]]>", 100_000));
        Refuse(OvaArchive.Descriptor.Replace("DMTF:x86:64", pieces, StringComparison.Ordinal), "ova_descriptor");
    }

    private static OvfDescriptor Read(string text) => OvfDescriptor.Read(Encoding.UTF8.GetBytes(text), Wanted);

    private static void Refuse(string text, string reason)
    {
        var refused = Assert.Throws<RegistryException>(() => Read(text));
        Assert.Equal((ErrorCode.ImageRejected, reason), (refused.Code, refused.Reason));
    }
}
