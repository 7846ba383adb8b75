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
            tests: int.Parse(Environment.GetEnvironmentVariable("MODEL_CASES") ?? (TestRun.IsFull ? "2000" : "500")));
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
