using System.Text;
using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>Disks without a container, and files that are no disks. As raw they are bytes like others.</content>
internal sealed partial record HostileImage
{
    private static IEnumerable<HostileImage> PlainDisks()
    {
        yield return Luks("LUKS version 0", FormatError.UnsupportedVersion, () => PlainDiskBytes.Luks(version: 0));
        yield return Luks("LUKS version 257", FormatError.UnsupportedVersion, () => PlainDiskBytes.Luks(version: 257));
        yield return Luks("LUKS without a cipher's name", FormatError.InvalidHeader, () => PlainDiskBytes.Luks(1, "\0aes"));
        yield return Luks("LUKS payload on the header", FormatError.InvalidHeader, () => PlainDiskBytes.Luks(1).Big32(104, 1));
        yield return Luks("LUKS payload elsewhere", FormatError.InvalidHeader, () => PlainDiskBytes.Luks(1).Big32(104, 0));
        yield return Luks("LUKS payload at 2 TiB", FormatError.Truncated,
            () => PlainDiskBytes.Luks(1).Big32(104, uint.MaxValue));
        yield return Luks("LUKS cut in the header", FormatError.Truncated, () => PlainDiskBytes.Luks(1)[..591]);

        yield return new("disc cut in its descriptor", "iso", FormatError.Truncated, () => PlainDiskBytes.Iso()[..33000])
            { IsFineAsRaw = true };
        yield return Gpt("GPT of 4 Gi entries", FormatError.InvalidHeader, disk => disk.Little32(512 + 80, uint.MaxValue));
        yield return Gpt("GPT of entries of 4 GiB", FormatError.InvalidHeader, disk => disk.Little32(512 + 84, uint.MaxValue));
        yield return Gpt("GPT with a header of 4 GiB", FormatError.InvalidHeader, disk => disk.Little32(512 + 12, uint.MaxValue));
        yield return Gpt("GPT that lies elsewhere", FormatError.InvalidHeader, disk => disk.Little64(512 + 24, 1UL << 32 | 1));
        yield return Gpt("GPT of a larger disk", FormatError.OutsideFile, disk => disk.Little64(512 + 48, ulong.MaxValue));
        yield return Gpt("protective partition without GPT", FormatError.InvalidTableEntry, disk => disk.Text(512, "NOT PART"));
        yield return Gpt("partition behind the end", FormatError.OutsideFile,
            _ => PlainDiskBytes.Mbr().Little32(446 + 8, uint.MaxValue));
    }

    private static IEnumerable<HostileImage> Ploops()
    {
        yield return Ploop("version 1", FormatError.UnsupportedVersion, new() { Version = 1 });
        yield return Ploop("in use", FormatError.DirtyImage, new() { InUse = 0x746F6E59 });
        yield return Ploop("blocks of nothing", FormatError.InvalidHeader, new() { BlockSectors = 0 });
        yield return Ploop("table too short", FormatError.InvalidHeader, new() { Blocks = 3 });
        yield return Ploop("table of 16 GiB", FormatError.Truncated, new() { Blocks = uint.MaxValue });
        yield return Ploop("disk of all ones", FormatError.InvalidHeader,
            new() { Magic = PloopBytes.Extended, DiskSectors = ulong.MaxValue });
        yield return Ploop("disk of 2 EiB", FormatError.VirtualSizeTooLarge, new()
        {
            Magic = PloopBytes.Extended, DiskSectors = 1UL << 52, BlockSectors = 1U << 31, Blocks = 1U << 31,
        });
        yield return new("ploop cut in the header", "ploop", FormatError.Truncated, () => new PloopBytes().ToBytes()[..63]);
        yield return new("ploop declared raw", "raw", FormatError.FormatMismatch, new PloopBytes().ToBytes);
        yield return Both("ploop with a disc", "ploop", () => new PloopBytes().ToBytes().AsDisc());
        yield return Both("ploop in front of a VHD footer", "ploop", () => new PloopBytes().ToBytes().AsFixedVhd());
    }

    private static IEnumerable<HostileImage> NoDisks()
    {
        (string Name, byte[] Bytes)[] files =
        [
            ("gzip", [0x1F, 0x8B, 8, .. new byte[40]]),
            ("markup", Encoding.ASCII.GetBytes("<img src=x onerror=alert(1)>")),
            ("OVF descriptor", Encoding.ASCII.GetBytes(
                "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Envelope><References>" +
                "<File ovf:href=\"/etc/passwd\" ovf:id=\"&a;\"/></References></Envelope>")),
            ("script", Encoding.ASCII.GetBytes("#!/bin/sh\ncat /etc/shadow\n")),
            ("libvirt XML", Encoding.ASCII.GetBytes("<disk type='network'><source protocol='nbd' name='x'/></disk>")),
            ("pseudo file name", Encoding.ASCII.GetBytes("json:{\"driver\":\"host_device\",\"filename\":\"/dev/sda\"}")),
            ("zeroes", new byte[100_000]),
        ];
        foreach (var (name, bytes) in files)
        {
            foreach (var declared in new[] { "qcow2", "vmdk" })
            {
                yield return new($"{name} declared {declared}", declared, FormatError.FormatMismatch, () => bytes)
                    { IsFineAsRaw = name != "gzip" };
            }
        }

        foreach (var declared in new[] { "vhd", "vhdx", "vdi", "iso", "luks" })
        {
            yield return new($"random bytes declared {declared}", declared, FormatError.FormatMismatch, () =>
            {
                var bytes = new byte[70_000];
                new Random(3).NextBytes(bytes);
                return bytes;
            })
            { IsFineAsRaw = true };
        }
    }

    private static HostileImage Ploop(string name, FormatError expected, PloopBytes file) =>
        new("ploop, " + name, "ploop", expected, file.ToBytes);

    private static HostileImage Luks(string name, FormatError expected, Func<byte[]> make) =>
        new(name, "luks", expected, make) { IsFineAsRaw = true };

    private static HostileImage Gpt(string name, FormatError expected, Func<byte[], byte[]> change) =>
        new(name, "gpt", expected, () => change(PlainDiskBytes.Gpt())) { IsFineAsRaw = true };
}
