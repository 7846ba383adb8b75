using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Hostile;
using Xunit;

namespace Registry.Engine.Tests.Inspect;

public sealed class UploadVerdictTests
{
    [Theory]
    [InlineData("raw")]
    [InlineData("ami")]
    [InlineData("ari")]
    [InlineData("aki")]
    [InlineData("ploop")]
    public void Plain_bytes_are_fine_under_names_without_signature(string diskFormat)
    {
        byte[][] files = [new byte[5000], PlainDiskBytes.Gpt(), PlainDiskBytes.Iso(), PlainDiskBytes.Luks(version: 2)];
        foreach (var file in files)
        {
            var verdict = UploadVerdict.Judge(diskFormat, "bare", Inspecting.InPieces(file, 4096));
            Assert.True(verdict.IsAccepted, verdict.Refusal?.Message);
            Assert.Equal(file.Length, verdict.VirtualSize);
        }
    }

    [Fact]
    public void A_mismatch_is_told_as_clients_know_it()
    {
        var verdict = UploadVerdict.Judge("vmdk", "bare", Inspecting.InPieces(new QcowBytes().ToBytes(), 4096));

        Assert.Equal("Image disk_format vmdk does not match stream data qcow2", verdict.Refusal?.Message);
    }

    [Theory]
    [InlineData("qcow2")]
    [InlineData("iso")]
    [InlineData("vhd")]
    [InlineData("gpt")]
    public void Bytes_without_signature_are_not_what_they_are_declared(string diskFormat)
    {
        var verdict = UploadVerdict.Judge(diskFormat, "bare", Inspecting.InPieces(new byte[5000], 4096));

        Assert.Equal(FormatError.FormatMismatch, verdict.Refusal?.Error);
    }

    [Theory]
    [InlineData("raw", "bare", true)]
    [InlineData("ami", "ami", true)]
    [InlineData("qcow2", "ova", true)]
    [InlineData("qcow2", "bare", false)]
    [InlineData("vmdk", "bare", false)]
    [InlineData("vhd", "bare", false)]
    [InlineData("iso", "bare", false)]
    [InlineData("luks", null, false)]
    public void An_empty_upload_is_no_image_of_a_format_with_a_signature(string disk, string? container, bool isFine)
    {
        var nothing = new FormatInspector().Finish();
        var verdict = UploadVerdict.Judge(disk, container, nothing);
        Assert.Equal(isFine ? null : FormatError.FormatMismatch, verdict.Refusal?.Error);
        Assert.Null(verdict.VirtualSize);
        Assert.True(UploadVerdict.Judge(disk, container, nothing, mayBeEmpty: true).IsAccepted);
    }

    [Theory]
    [InlineData("ovf")]
    [InlineData("ova")]
    [InlineData("docker")]
    [InlineData("compressed")]
    [InlineData("ami")]
    [InlineData("aki")]
    public void A_package_is_not_looked_into_but_what_is_none_is_judged(string containerFormat)
    {
        Assert.True(Judge(new byte[5000]).IsAccepted);
        Assert.True(Judge(new QcowBytes().ToBytes()).IsAccepted);
        Assert.Equal(FormatError.BackingFileRefused, Judge(new QcowBytes { Backing = "x" }.ToBytes()).Refusal?.Error);
        Assert.Equal(FormatError.FormatMismatch, Judge(new VhdBytes().ToBytes()).Refusal?.Error);

        UploadVerdict Judge(byte[] file) =>
            UploadVerdict.Judge("qcow2", containerFormat, Inspecting.InPieces(file, 4096));
    }

    [Fact]
    public void A_wrong_container_is_refused_before_the_rest_has_passed()
    {
        var inspector = new FormatInspector();
        inspector.Feed(new QcowBytes().ToBytes().AsSpan(0, 64 * 1024));

        Assert.Equal(FormatError.FormatMismatch, UploadVerdict.JudgeEarly("raw", inspector)?.Error);
        Assert.Null(UploadVerdict.JudgeEarly("qcow2", inspector));
    }
}
