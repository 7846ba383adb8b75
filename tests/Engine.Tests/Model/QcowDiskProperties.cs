using FsCheck.Fluent;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;
using Registry.Engine.Tests.Properties;

namespace Registry.Engine.Tests.Model;

/// <summary>Whatever is done to an image, it holds what plain bytes would, and qemu-img finds nothing wrong.</summary>
public sealed class QcowDiskProperties
{
    [Fact]
    public void An_image_holds_what_was_done_to_it()
    {
        QemuImg.Require();
        Property.Holds(
            DiskScript.Any,
            async script =>
            {
                await TryAsync(script.Shape, script.Steps);
                return true;
            },
            tests: int.Parse(Environment.GetEnvironmentVariable("MODEL_CASES") ?? "2000"));
    }

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
            tests: int.Parse(Environment.GetEnvironmentVariable("MODEL_CASES") ?? "2000"));
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
        for (var i = 0; i < content.Length; i++)
        {
            Assert.True(
                unflushed.Exists(bytes => i < bytes.Length && bytes[i] == content[i])
                    || (!isChange && content[i] == 0),
                $"Byte {i} is none of what it was since the last flush, after {last}.");
        }
    }

    private static async Task TryAsync(DiskShape shape, IReadOnlyList<DiskStep> steps)
    {
        await using var disk = await ModelledDisk.CreateAsync(shape);
        foreach (var step in steps)
        {
            await disk.DoAsync(step);
            var read = await disk.ReadAsync();
            Assert.True(disk.Content.AsSpan().SequenceEqual(read), $"After {step} the disk differs.");

            // What a process that ends here leaves behind: space counted and not used, never more.
            var left = await QcowCheck.CheckAsync(new MemoryBytes(disk.File.Bytes), CancellationToken.None);
            Assert.True(left.Corruptions + left.CheckErrors == 0, $"A crash after {step} leaves errors.");
        }

        await disk.DisposeAsync();
        await disk.VerifyBitmapsAsync();
        using var directory = new TempDirectory();
        var (image, raw) = (directory.File("disk.qcow2"), directory.File("disk.raw"));
        await File.WriteAllBytesAsync(image, disk.File.Bytes);
        foreach (var (name, bytes) in disk.Files)
        {
            await File.WriteAllBytesAsync(directory.File(name), bytes);
        }

        var secret = new[] { "--object", "secret,id=key,data=secret" };
        var opened = $"driver=qcow2,file.filename={image}{(shape.IsEncrypted ? ",encrypt.key-secret=key" : "")}";
        QemuImg.Run(["check", "-q", .. secret, "--image-opts", opened]);
        await File.WriteAllBytesAsync(raw, disk.Content);
        QemuImg.Run(["compare", "-q", .. secret, "--image-opts", opened, $"driver=raw,file.filename={raw}"]);
        if (disk.Snapshots.Count > 0)
        {
            var (name, content) = disk.Snapshots[steps.Count % disk.Snapshots.Count];
            QemuImg.Run(
                ["convert", .. secret, "--image-opts", "-O", "raw", "-l", $"snapshot.name={name}", opened,
                directory.File("snap.raw")]);

            // qemu-img gives a snapshot the size that the disk has now.
            var read = await File.ReadAllBytesAsync(directory.File("snap.raw"));
            var common = Math.Min(read.Length, content.Length);
            Assert.True(
                content.AsSpan(0, common).SequenceEqual(read.AsSpan(0, common)), $"Snapshot {name} differs.");
        }
    }
}
