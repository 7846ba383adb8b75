using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2.Checking;

public sealed class QcowCheckTests
{
    public static TheoryData<string> Bases => new(CheckBases.Names);

    [Theory]
    [MemberData(nameof(Bases))]
    public async Task Every_damage_is_counted_as_qemu_counts_it(string name)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var healthy = directory.File("healthy.qcow2");
        CheckBases.Make(name, healthy);
        var wrong = new List<string>();
        var done = 0;
        foreach (var (damage, spoil) in Damage.Of(name))
        {
            var path = directory.File("damaged.qcow2");
            var poke = new QcowPoke(await File.ReadAllBytesAsync(healthy, TestContext.Current.CancellationToken));
            if (!spoil(poke))
            {
                continue;
            }

            done++;
            await File.WriteAllBytesAsync(path, poke.Bytes, TestContext.Current.CancellationToken);
            var (code, report) = await CheckAsync(path);
            var qemu = await QemuCheck.RunAsync(path, passphrase: CheckBases.IsPlain(name) ? null : CheckBases.Passphrase);
            if (name == "luks" && qemu.Messages.Contains("not in LUKS format", StringComparison.Ordinal))
            {
                continue; // It needs the LUKS header's content; we count its clusters only.
            }

            if (code != qemu.ExitCode || (qemu.Report is not null && report != qemu.Report))
            {
                wrong.Add($"{damage}\n  ours {code} {report}\n  qemu {qemu.ExitCode} {qemu.Report}\n{qemu.Messages}");
            }
        }

        Assert.True(done > (TestRun.IsFull ? 30 : 15), $"only {done} damages apply");
        Assert.True(wrong.Count == 0, $"{wrong.Count} of {done}:\n" + string.Join('\n', wrong));
    }

    private static async Task<(int Code, QcowCheckReport? Report)> CheckAsync(string path)
    {
        await using var source = FileBytes.OpenRead(path);
        try
        {
            var report = await QcowCheck.CheckAsync(source, TestContext.Current.CancellationToken);
            return (QemuCheck.ExitCodeOf(report), report);
        }
        catch (ImageFormatException)
        {
            return (1, null);
        }
    }
}
