using System.Text;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Hostile;

namespace Registry.Engine.Tests.Formats;

/// <summary>Descriptors in other encodings than ASCII: the bytes of the names in them are opaque.</summary>
public sealed class VmdkNameTests
{
    [Theory]
    [InlineData("utf-8", "6DC3A1717569C2A02E766D646B")]
    [InlineData("GBK", "D0E9C4E2BBFA2E766D646B")]
    [InlineData("Shift_JIS", "955C8EA62D312E766D646B")] // with 0x5C, which is a backslash in ASCII
    [InlineData("windows-1252", "85A0E92E766D646B85")]
    public async Task A_name_in_any_encoding_is_read_as_qemu_reads_it(string encoding, string name)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("a.vmdk");
        await DiskContents.WriteAsync(directory.File("in.raw"), "zeroes", Disk.Stop);
        QemuImg.Run("convert", "-f", "raw", "-O", "vmdk", directory.File("in.raw"), path);
        var bytes = await File.ReadAllBytesAsync(path, Disk.Stop);
        var text = Encoding.Latin1.GetString(bytes, 512, 20 * 512).TrimEnd('\0')
            .Replace("\"a.vmdk\"", $"\"{Letters(name)}\"", StringComparison.Ordinal)
            .Replace("version=1\n", $"version=1\nencoding=\"{encoding}\"\n", StringComparison.Ordinal);
        Encoding.Latin1.GetBytes(text, bytes.AsSpan(512));
        await File.WriteAllBytesAsync(path, bytes, Disk.Stop);
        await QemuFormatTests.AssertAlike(path, "vmdk", isHuge: false);
    }

    [Fact]
    public async Task Any_byte_beyond_ascii_may_be_in_a_name_a_comment_or_a_setting()
    {
        for (var letter = 0x80; letter <= 0xFF; letter++)
        {
            var text = $"{(char)letter}";
            var file = new VmdkBytes
            {
                Extent = $"RW\t2048 SPARSE \"{text}a{text}\" \r",
                MoreLines = $"# {text}\nddb.{text} = \"{text}\"\n{text} = {text}\nencoding=\"{text}\"",
            };
            await using var image = await DiskImages.OpenAsync(
                new MemoryBytes(file.ToBytes()), DiskFormat.Vmdk, DiskOpenOptions.Strict, Disk.Stop);
            Assert.Equal(1 << 20, image.VirtualSize);
        }
    }

    private static string Letters(string hex) => Encoding.Latin1.GetString(System.Convert.FromHexString(hex));
}
