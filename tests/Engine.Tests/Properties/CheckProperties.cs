using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;
using Registry.Engine.Tests.Qcow2.Checking;

namespace Registry.Engine.Tests.Properties;

public sealed class CheckProperties
{
    [Fact]
    public void Whatever_bits_flip_we_judge_as_qemu_does_and_repair_to_what_it_finds_clean()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var bases = Bases(directory);
        Property.Holds(
            from image in Gen.Elements(bases.ToArray())
            from flips in Gen.NonEmptyListOf(Flip(image))
            select (image: new Base(image), flips: flips.Take(4).ToList()),
            async input =>
            {
                var bytes = (byte[])input.image.Bytes.Clone();
                foreach (var (position, bit) in input.flips)
                {
                    bytes[position] ^= (byte)(1 << bit);
                }

                return await AgreeAsync(directory.File("flipped.qcow2"), bytes);
            },
            tests: 200);
    }

    private static async Task<bool> AgreeAsync(string path, byte[] bytes)
    {
        await File.WriteAllBytesAsync(path, bytes);
        var (report, refusal) = await CheckAsync(path);
        var qemu = await QemuCheck.RunAsync(path);
        if (qemu.ExitCode == -1 || refusal?.Error == FormatError.BudgetExceeded)
        {
            return true; // It crashed or did not end; we did.
        }

        if (qemu.Messages.Contains("'data-file'", StringComparison.Ordinal)
            || qemu.Messages.Contains("'encrypt.key-secret'", StringComparison.Ordinal))
        {
            return true; // It asks for a data file or a passphrase, which a check does not need.
        }

        if ((report is null) != (qemu.Report is null) || (report is not null && report != qemu.Report))
        {
            Assert.Fail($"ours {report} {refusal?.Message}\nqemu {qemu.ExitCode} {qemu.Report} {qemu.Messages}");
        }

        return report is null || await RepairAsync(path);
    }

    private static async Task<bool> RepairAsync(string path)
    {
        QcowCheckReport repaired;
        await using (var file = FileBytes.OpenWrite(path))
        {
            try
            {
                repaired = await QcowRepair.RepairAsync(file, QcowRepairMode.All, CancellationToken.None);
            }
            catch (ImageFormatException)
            {
                return true; // Refused by name: tables lie on each other.
            }
        }

        var after = await QemuCheck.RunAsync(path);
        Assert.Equal(repaired with { CorruptionsFixed = 0, LeaksFixed = 0 }, after.Report);
        Assert.Equal(0, repaired.Leaks);
        return true;
    }

    private static async Task<(QcowCheckReport? Report, ImageFormatException? Refusal)> CheckAsync(string path)
    {
        await using var source = FileBytes.OpenRead(path);
        try
        {
            return (await QcowCheck.CheckAsync(source, CancellationToken.None), null);
        }
        catch (ImageFormatException e)
        {
            return (null, e);
        }
    }

    private static List<byte[]> Bases(TempDirectory directory)
    {
        var bases = new List<byte[]>();
        string[] kinds =
        [
            "cluster_size=512", "cluster_size=512,refcount_bits=1", "compat=0.10,cluster_size=1k",
            "cluster_size=512,refcount_bits=64", "cluster_size=16k,extended_l2=on",
        ];
        foreach (var options in kinds)
        {
            var path = directory.File("base.qcow2");
            QemuImg.Create(path, 1 << 18, options);
            QemuImg.Io(path, ["write -P 1 0 3k", "write -P 2 100k 1k", "write -z 1k 1k"]);
            bases.Add(File.ReadAllBytes(path));
            if (options == "cluster_size=512")
            {
                QemuImg.Io(path, ["write -c -P 3 8k 512", "write -c -P 4 9k 512"]);
                QemuImg.Run("snapshot", "-c", "one", path);
                QemuImg.Io(path, ["write -P 5 512 1k"]);
                bases.Add(File.ReadAllBytes(path));
            }
        }

        return bases;
    }

    // Printed as its length: a failure names the flips, and is replayed by its seed.
    private sealed record Base(byte[] Bytes)
    {
        public override string ToString() => $"image of {Bytes.Length} bytes";
    }

    // Bits of the header that name features and sizes, and bits anywhere in the tables.
    private static Gen<(int Position, int Bit)> Flip(byte[] image) => Gen.OneOf(
        from position in Gen.Choose(20, 103)
        from bit in Gen.Choose(0, 7)
        select (position, bit),
        from position in Gen.Choose(512, image.Length - 1)
        from bit in Gen.Choose(0, 7)
        select (position, bit),
        from position in Gen.Choose(512, Math.Min(image.Length - 1, 6000))
        from bit in Gen.Choose(0, 7)
        select (position, bit));
}
