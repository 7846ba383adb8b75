using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;
using Registry.Engine.Tests.Properties;

namespace Registry.Engine.Tests.Model;

/// <summary>Whatever is done to an image and wherever it is cut short, what was flushed is there, and repair finds
/// leaks at most.</summary>
public sealed class QcowCrashProperties
{
    [Fact]
    public void A_crash_at_any_write_loses_nothing_that_was_flushed()
    {
        Property.Holds(
            DiskScript.WithCrash,
            async script =>
            {
                await CrashAsync(script);
                return true;
            },
            tests: int.Parse(Environment.GetEnvironmentVariable("MODEL_CASES") ?? "500"));
    }

    /// <summary>Stops the file at some write, repairs what is left, and reads it.</summary>
    private static async Task CrashAsync(DiskScript script)
    {
        var disk = await ModelledDisk.CreateAsync(script.Shape);
        var flushed = disk.Content.ToArray();
        var last = default(DiskStep);
        var unflushed = new List<byte[]> { flushed };
        try
        {
            disk.File.WritesLeft = script.Writes;
            foreach (var step in script.Steps)
            {
                last = step;
                await disk.DoAsync(step);
                if (step.Kind is DiskStepKind.Write or DiskStepKind.WriteSectors or DiskStepKind.WriteCompressed
                    or DiskStepKind.Zero or DiskStepKind.ZeroKeeping or DiskStepKind.Discard)
                {
                    unflushed.Add(disk.Content.ToArray());
                }
                else
                {
                    await disk.DoAsync(step with { Kind = DiskStepKind.Flush });
                    unflushed = [disk.Content.ToArray()];
                }
            }

            await disk.DisposeAsync();
        }
        catch (IOException)
        {
            // The crash.
        }

        // The step that was cut short has or has not happened.
        unflushed.Add(disk.Content.ToArray());
        var isChange = last.Kind is not (DiskStepKind.Resize or DiskStepKind.Apply);
        var file = new MemoryBytes(disk.File.Bytes.ToArray());
        var found = await QcowCheck.CheckAsync(file, CancellationToken.None);
        if (last.Kind is not (DiskStepKind.Snapshot or DiskStepKind.Apply or DiskStepKind.DeleteSnapshot
            or DiskStepKind.Amend))
        {
            Assert.True(found.Corruptions + found.CheckErrors == 0, $"Errors, not only leaks, after {last}.");
        }

        var repaired = await QcowRepair.RepairAsync(file, QcowRepairMode.All, CancellationToken.None);
        Assert.Equal((0, 0, 0), (repaired.Corruptions, repaired.Leaks, repaired.CheckErrors));
        var content = await disk.ReadAsync(file);
        for (var at = 0; at < content.Length;)
        {
            // As far as any of them goes, at once: byte by byte this was most of the test's time.
            var rest = content.AsSpan(at);
            var same = !isChange ? rest.Length - rest.TrimStart((byte)0).Length : 0;
            foreach (var bytes in unflushed.Where(bytes => at < bytes.Length))
            {
                same = Math.Max(same, rest.CommonPrefixLength(bytes.AsSpan(at)));
            }

            Assert.True(same > 0, $"Byte {at} is none of what it was since the last flush, after {last}.");
            at += same;
        }
    }
}
