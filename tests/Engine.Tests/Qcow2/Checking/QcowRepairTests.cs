using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2.Checking;

public sealed class QcowRepairTests
{
    // What is wrong here holds content that no repair can bring back: it is left and reported, as qemu-img does.
    private static readonly HashSet<string> Left =
    [
        "data unaligned", "data outside", "data right behind the end", "data far outside", "compressed outside",
        "compressed longer", "L2 table outside", "L2 table unaligned", "L2 table on the header",
        "L2 table on the L1 table", "L1 table outside", "snapshot L1 unaligned", "snapshot L1 outside",
        "snapshot L1 too long", "snapshot L1 longer", "subclusters both data and zero", "subclusters of nothing",
        "cut by half a cluster", "cut by a cluster", "cut in half", "cut to its header",
        "snapshot without extra data", "snapshot with half its extra data", "snapshot forgotten",
    ];

    public static TheoryData<string> Bases => new(CheckBases.Names);

    [Theory]
    [MemberData(nameof(Bases))]
    public async Task What_can_be_repaired_is_clean_afterwards_and_holds_the_same(string name)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var healthy = directory.File("healthy.qcow2");
        CheckBases.Make(name, healthy);
        var wrong = new List<string>();
        foreach (var (damage, spoil) in Damage.Of(name))
        {
            var poke = new QcowPoke(await File.ReadAllBytesAsync(healthy, TestContext.Current.CancellationToken));
            if (spoil(poke) && await ProblemAsync(directory, name, damage, poke.Bytes) is { } problem)
            {
                wrong.Add($"{damage}: {problem}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count}:\n" + string.Join('\n', wrong));
    }

    [Fact]
    public async Task New_counts_are_not_put_where_the_L1_table_reaches_past_the_end()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("image.qcow2");
        CheckBases.Make("c512", path);
        var poke = new QcowPoke(await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken));
        poke.Bytes[37] ^= 1 << 4; // A million L1 entries more.
        poke.Bytes[59] ^= 1 << 7; // The refcount table is 128 clusters longer: what lies behind it become its blocks.
        var file = new MemoryBytes(poke.Bytes);

        var refusal = await Assert.ThrowsAsync<ImageFormatException>(async () =>
            await QcowRepair.RepairAsync(file, QcowRepairMode.All, TestContext.Current.CancellationToken));

        Assert.Equal(FormatError.OverlapsMetadata, refusal.Error);
        Assert.Equal(poke.Bytes.Length, file.Length);
    }

    private static async Task<string?> ProblemAsync(
        TempDirectory directory, string name, string damage, byte[] damaged)
    {
        var path = directory.File("damaged.qcow2");
        await File.WriteAllBytesAsync(path, damaged, TestContext.Current.CancellationToken);
        var passphrase = CheckBases.IsPlain(name) ? null : CheckBases.Passphrase;
        var before = directory.File("before.qcow2");
        var isReadable = CheckBases.IsPlain(name)
            && QemuImg.TryRun("convert", "-f", "qcow2", "-O", "qcow2", path, before).ExitCode == 0;
        QcowCheckReport report;
        await using (var file = FileBytes.OpenWrite(path))
        {
            try
            {
                report = await QcowRepair.RepairAsync(file, QcowRepairMode.All, TestContext.Current.CancellationToken);
            }
            catch (ImageFormatException e)
            {
                // Only what qemu-img does not check either.
                var judged = await QemuCheck.RunAsync(path, passphrase: passphrase);
                return judged is { ExitCode: 1, Report: null } ? null : $"refused: {e.Message}";
            }
        }

        var qemu = await QemuCheck.RunAsync(path, passphrase: passphrase);
        if (qemu.Messages.Contains("not in LUKS format", StringComparison.Ordinal))
        {
            return null; // It needs the LUKS header's content; we count its clusters only.
        }

        var ours = report with { CorruptionsFixed = 0, LeaksFixed = 0 };
        if (QemuCheck.ExitCodeOf(report) != qemu.ExitCode || ours != qemu.Report)
        {
            return $"afterwards\n  ours {ours}\n  qemu {qemu.ExitCode} {qemu.Report} {qemu.Messages}";
        }

        // Counts of one or two bits may not suffice for what is shared.
        var isFull = qemu.Messages.Contains("overflow cluster", StringComparison.Ordinal);
        if (qemu.ExitCode != 0 && !isFull && !Left.Contains(damage))
        {
            return $"not repaired: {qemu.Report} {qemu.Messages[..Math.Min(qemu.Messages.Length, 300)]}";
        }

        // A cluster that is data and table at once changes with the table.
        return isReadable && !damage.StartsWith("data on the ", StringComparison.Ordinal)
            && QemuImg.TryRun("compare", "-f", "qcow2", "-F", "qcow2", before, path).ExitCode != 0
            ? "other content"
            : null;
    }
}
