using System.Diagnostics;
using System.Globalization;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;
using Registry.Torture;

namespace Registry.Engine.Tests.Model;

/// <summary>A process that writes to an image is killed: what it flushed is there, and nothing is worse than
/// leaked.</summary>
/// <remarks>KILL_ROUNDS sets how often; every test run does a few.</remarks>
public sealed class KillTests
{
    [Fact]
    public async Task A_killed_writer_leaves_leaks_at_most()
    {
        QemuImg.Require();
        var rounds = int.Parse(
            Environment.GetEnvironmentVariable("KILL_ROUNDS") ?? "12", CultureInfo.InvariantCulture);
        var first = Environment.TickCount & 0xFFFF;
        var (flushes, leaks) = (0, 0L);
        for (var round = 0; round < rounds; round++)
        {
            var (flushed, leaked) = await RoundAsync(first + round);
            flushes += flushed;
            leaks += leaked;
        }

        TestContext.Current.SendDiagnosticMessage(
            $"{rounds} kills from seed {first}: {flushes} changes flushed, {leaks} clusters leaked.");
        Assert.True(flushes > 0, "No writer got as far as its first flush.");
    }

    private static async Task<(int Flushed, long Leaks)> RoundAsync(int seed)
    {
        using var directory = new TempDirectory();
        var image = directory.File("disk.qcow2");
        var (flushed, started) = await WriteAndKillAsync(image, seed);

        var (code, output) = QemuImg.TryRun("check", "-f", "qcow2", image);
        Assert.True(code is 0 or 3, $"Seed {seed}, killed in change {started}: qemu-img check: {code}\n{output}");
        Verify(await ContentAsync(image), seed, flushed, started);

        long leaks;
        await using (var file = FileBytes.OpenWrite(image))
        {
            leaks = (await QcowCheck.CheckAsync(file, TestContext.Current.CancellationToken)).Leaks;
            await QcowRepair.RepairAsync(file, QcowRepairMode.Leaks, TestContext.Current.CancellationToken);
        }

        QemuImg.Check(image);
        Verify(await ContentAsync(image), seed, flushed, started);
        return (flushed + 1, leaks);
    }

    /// <summary>Lets the writer run for a random time after it has made the image, every second one after its first
    /// flush: a busy machine must not kill them all before it.</summary>
    /// <returns>The last change that was flushed, and the last that was begun; -1 for none.</returns>
    private static async Task<(int Flushed, int Started)> WriteAndKillAsync(string image, int seed)
    {
        var (flushed, started) = (-1, -1);
        var writer = RepositoryTree.File("artifacts", "bin", "Registry.Torture", "release", "Registry.Torture");
        using var process = Process.Start(new ProcessStartInfo(writer, [image, $"{seed}"])
        {
            RedirectStandardOutput = true,
        })!;
        var isReady = new TaskCompletionSource();
        var reading = Task.Run(async () =>
        {
            while (await process.StandardOutput.ReadLineAsync() is { } line)
            {
                // The last line may be cut.
                if (line.Split(' ') is ["S", var number] && int.TryParse(number, out var begun))
                {
                    started = begun;
                    if (seed % 2 == 0)
                    {
                        isReady.TrySetResult();
                    }
                }
                else if (line.Split(' ') is ["F", var done] && int.TryParse(done, out var last))
                {
                    flushed = last;
                    isReady.TrySetResult();
                }
            }

            isReady.TrySetResult();
        });
        await isReady.Task;
        await Task.Delay(new Random(seed).Next(1, 250));
        process.Kill();
        await process.WaitForExitAsync();
        await reading;
        Assert.True(started >= 0, "The writer did not start.");
        return (flushed, started);
    }

    private static async Task<byte[]> ContentAsync(string image)
    {
        QemuImg.Run("convert", "-f", "qcow2", "-O", "raw", image, image + ".raw");
        return await File.ReadAllBytesAsync(image + ".raw");
    }

    /// <summary>Every byte is what it was at the last flush, or what a change after it made of it.</summary>
    private static void Verify(byte[] found, int seed, int flushed, int started)
    {
        var writes = new RandomWrites(seed);
        var disk = new byte[RandomWrites.DiskBytes];
        for (var number = 0; number <= flushed; number++)
        {
            writes.Apply(number, disk);
        }

        // A change that was announced and not flushed may have happened, the next one too: its line may be cut off.
        var isRight = new bool[disk.Length];
        Accept(0, disk.Length);
        for (var number = flushed + 1; number <= started + 1; number++)
        {
            var (offset, length) = writes.Apply(number, disk);
            Accept(offset, length);
        }

        var wrong = isRight.AsSpan().IndexOf(false);
        Assert.True(wrong < 0, $"Seed {seed}, flushed {flushed}, killed in {started}: byte {wrong} is wrong.");

        void Accept(int offset, int length)
        {
            for (var i = offset; i < offset + length; i++)
            {
                isRight[i] |= found[i] == disk[i];
            }
        }
    }
}
