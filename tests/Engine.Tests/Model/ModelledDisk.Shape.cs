using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;
using Registry.Engine.Raw;

namespace Registry.Engine.Tests.Model;

/// <content>What changes the image but not the disk.</content>
internal sealed partial class ModelledDisk
{
    private static DiskOpenOptions OptionsFor(DiskShape shape, MemoryGate gate) => new()
    {
        Gate = gate,
        Limits = Limits.Local,
        Passphrase = shape.IsEncrypted ? static _ => new("secret"u8.ToArray()) : null,
    };

    private async Task AmendAsync(DiskStep step)
    {
        var amendment = (step.Seed % 6) switch
        {
            0 => new QcowAmendment { Version = 2, RefcountBits = 16 },
            1 => new QcowAmendment { Version = 3 },
            2 => new QcowAmendment { LazyRefcounts = (step.Seed & 8) != 0 },
            _ => new QcowAmendment { RefcountBits = 1 << (step.At % 7) },
        };
        try
        {
            await disk.AmendAsync(amendment, CancellationToken.None);
            Assert.Equal(amendment.Version ?? (int)disk.Header.Version, (int)disk.Header.Version);
            Assert.Equal(
                amendment.RefcountBits ?? 1 << (int)disk.Header.RefcountOrder, 1 << (int)disk.Header.RefcountOrder);
        }
        catch (DiskOperationException)
        {
            // Refused; the disk must be as it was, which the caller looks at.
        }
    }

    private async Task CommitAsync()
    {
        if (backingName is null)
        {
            return;
        }

        var target = new RawDisk(gate.File(backingName));
        await disk.CommitToAsync(target, empties: true, progress: null, CancellationToken.None);
        Assert.True(content.AsSpan().SequenceEqual(gate.Read(backingName).AsSpan(0, content.Length)));

        // Snapshots show their backing file's content, which is another one now: as with qemu-img.
        while (snapshots.Count > 0)
        {
            await disk.DeleteSnapshotAsync(snapshots[0].Name, CancellationToken.None);
            snapshots.RemoveAt(0);
        }

        await ReopenAsync();
    }

    private async Task RebaseAsync(DiskStep step)
    {
        // Snapshots are not rebased, neither here nor in qemu-img.
        if (snapshots.Count > 0)
        {
            return;
        }

        var name = step.Seed % 3 == 0 || shape.BackingSectors == 0 ? null
            : backingName == "other.raw" ? "base.raw"
            : "other.raw";
        var target = name is null ? null : new RawImage(gate.File(name));
        await disk.RebaseAsync(target, name, name is null ? null : "raw", progress: null, CancellationToken.None);
        backingName = name;
        isBitmapExact = false;
        await ReopenAsync();
    }
}
