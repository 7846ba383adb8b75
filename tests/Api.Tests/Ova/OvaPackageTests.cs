using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace Registry.Api.Tests.Ova;

/// <summary>Archives as makers and systems write them: references, folders, manifests, compressed disks.</summary>
public sealed class OvaPackageTests() : OvaLab(("Registry:Import:OpenOva", "true"))
{
    private static readonly byte[] Disk = Bytes(3000);

    [Fact]
    public async Task A_disk_is_found_by_any_reference_to_it_in_archives_of_any_format()
    {
        TarEntryFormat[] formats = [TarEntryFormat.Ustar, TarEntryFormat.Gnu, TarEntryFormat.Pax];
        (string Href, string[] Names)[] cases =
        [
            ("my%20disk.img", ["vm.ovf", "my disk.img"]),
            ("./d.img", ["./", "./vm.ovf", "./d.img"]),
            ("d.img", ["vm/", "vm/vm.ovf", "vm/d.img"]),
            ("d.img", ["vm/vm.ovf", "vm/d.img", "d.img"]),
            ("../disks/%64.img", ["vm/vm.ovf", "disks/d.img"]),
            ("vm/d.img", ["vm/vm.ovf", "vm/d.img"]),
            ("100%25.img", ["vm.ovf", "100%.img"]),
            ("100%25.img", ["vm.ovf", "100%25.img", "100%.img"]),
            ("a+b%2Bc.img", ["vm.ovf", "a+b+c.img"]),
            ("m%C3%A1quina.img", ["vm.ovf", "máquina.img"]),
            ("máquina.img", ["vm.ovf", "máquina.img"]),
            ("d.img", ["._vm.ovf", "vm.ovf", "._d.img", "d.img", "__MACOSX/._vm.ovf"]),
            ("d.img", ["d.img", "vm.cert", "vm.ovf"]),
        ];
        foreach (var ((href, names), number) in cases.Select((one, number) => (one, number)))
        {
            // The disk is the first that is named like one; other files have other bytes.
            var disk = names.First(name =>
                name.EndsWith(".img", StringComparison.Ordinal) && !name.StartsWith("._", StringComparison.Ordinal));
            var format = formats[number % formats.Length];
            var archive = OvaArchive.Make(format, [.. names.Select(name => (
                name,
                name == disk ? Disk : Path.GetFileName(name) == "vm.ovf" ? OvaArchive.Naming(href) : Bytes(9, 9)))]);
            await RequireAsync($"{href} in {string.Join(' ', names)} ({format})", archive);
        }
    }

    [Fact]
    public async Task A_compressed_disk_is_unpacked_and_compared_as_it_is_in_the_archive()
    {
        using var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            await gzip.WriteAsync(Disk, RegistryApp.Stop);
        }

        var bytes = packed.ToArray();
        foreach (var (manifest, isGood) in new[]
            { (Line("SHA256", "d.gz", bytes), true), (Line("SHA256", "d.gz", Disk), false) })
        {
            var archive = OvaArchive.Make(
                TarEntryFormat.Ustar, ("vm.ovf", OvaArchive.Naming("d.gz", "ovf:compression=\"gzip\"")),
                ("vm.mf", Encoding.UTF8.GetBytes(manifest)), ("d.gz", bytes));
            await (isGood ? RequireAsync(manifest, archive) : RefuseAsync(manifest, archive));
        }

        var notPacked = OvaArchive.Make(
            TarEntryFormat.Ustar, ("vm.ovf", OvaArchive.Naming("d", "ovf:compression=\"gzip\"")), ("d", Disk));
        var id = await ImportOvaAsync(notPacked, "raw");
        Assert.Contains("compressed data is damaged", await FailAsync(id), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_manifest_is_compared_with_the_bytes_however_it_is_written()
    {
        var descriptor = OvaArchive.Naming("d.img");
        var other = Bytes(3000, 2);
        (string Manifest, bool IsGood)[] cases =
        [
            (Line("SHA1", "d.img", Disk) + Line("SHA1", "vm.ovf", descriptor), true),
            (Line("SHA512", "d.img", Disk).Replace("\n", "\r\n", StringComparison.Ordinal), true),
            ($"\uFEFF  sha-256 ( d.img )  =  {Hex("SHA256", Disk).ToUpperInvariant()} \r\n\r\n", true),
            (Line("SHA256", "./d.img", Disk).TrimEnd(), true),
            (Line("SHA256", "gone.iso", other) + Line("SHA256", "d%2Eimg", Disk), true),
            ("", true),
            (Line("SHA1", "d.img", other), false),
            (Line("SHA256", "d.img", other), false),
            (Line("SHA512", "d%2Eimg", other), false),
            (Line("SHA256", "d.img", Disk) + Line("SHA1", "d.img", other), false),
            (Line("SHA256", "d.img", Disk) + Line("SHA256", "vm.ovf", other), false),
            (Line("SHA256", "d.img", Disk) + Line("SHA256", "nvram", other), false),
            ("SHA256(d.img)= abc\n", false),
            ("WHIRLPOOL(d.img)= abcd\n", false),
            ("no manifest at all", false),
        ];
        foreach (var ((manifest, isGood), number) in cases.Select((one, number) => (one, number)))
        {
            var text = Encoding.UTF8.GetBytes(manifest);
            var archive = number % 2 == 0
                ? OvaArchive.Make(
                    TarEntryFormat.Ustar, ("vm.mf", text), ("vm.ovf", descriptor), ("nvram", [1]), ("d.img", Disk))
                : OvaArchive.Make(
                    TarEntryFormat.Ustar, ("vm.ovf", descriptor), ("d.img", Disk), ("nvram", [1]), ("VM.MF", text));
            await (isGood ? RequireAsync(manifest, archive) : RefuseAsync(manifest, archive));
        }
    }

    private async Task RequireAsync(string what, byte[] archive)
    {
        var id = await ImportOvaAsync(archive, "raw");
        var task = await EndAsync(id);
        Assert.True(task.GetProperty("status").GetString() == "success", $"{what}: {task}");
        Assert.True((await ContentAsync(id)).AsSpan().SequenceEqual(Disk), what);
    }

    private async Task RefuseAsync(string what, byte[] archive)
    {
        var id = await ImportOvaAsync(archive, "raw");
        var message = await FailAsync(id);
        Assert.True(message.Contains("manifest", StringComparison.Ordinal), $"{what}: {message}");
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
    }

    private static string Line(string algorithm, string name, byte[] bytes) =>
        $"{algorithm}({name})= {Hex(algorithm, bytes)}\n";

    private static string Hex(string algorithm, byte[] bytes) => Convert.ToHexStringLower(
        CryptographicOperations.HashData(new HashAlgorithmName(algorithm), bytes));
}
