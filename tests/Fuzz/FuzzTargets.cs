using System.Diagnostics;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Checking;

namespace Registry.Fuzz;

/// <summary>What is fuzzed. Every target takes any bytes; the only exception it may end with is
/// <see cref="ImageFormatException"/> (or a file that ends early), and it must stay within its budget.</summary>
public static class FuzzTargets
{
    private const int MaxBytes = 1 << 20;
    private const long ReadBytes = 2 << 20;
    private const long BudgetBytes = 256L << 20;

    /// <summary>What an input may cost on an idle machine.</summary>
    public static readonly TimeSpan BudgetTime = TimeSpan.FromSeconds(2);

    /// <summary>The targets by name.</summary>
    public static IReadOnlyDictionary<string, Func<byte[], Task>> ByName { get; } =
        new Dictionary<string, Func<byte[], Task>>
        {
            ["read"] = ReadAsync,
            ["check"] = CheckAsync,
            ["inspect"] = InspectAsync,
            ["vmdk"] = input => DiskAsync(DiskFormat.Vmdk, input),
            ["vhd"] = input => DiskAsync(DiskFormat.Vhd, input),
            ["vhdx"] = input => DiskAsync(DiskFormat.Vhdx, input),
            ["vdi"] = input => DiskAsync(DiskFormat.Vdi, input),
        };

    /// <summary>Runs a target on an input and holds it to its budget of CPU time and memory.</summary>
    /// <exception cref="InvalidOperationException">Beyond the budget, or a promise broken.</exception>
    /// <param name="name">The target.</param>
    /// <param name="input">Any bytes; more than 1 MiB are left alone.</param>
    /// <param name="budgetTime">What it may cost.</param>
    public static async Task RunAsync(string name, byte[] input, TimeSpan budgetTime)
    {
        if (input.Length > MaxBytes)
        {
            return;
        }

        // The input is in memory: all of it happens on this thread, whatever other threads do meanwhile.
        var before = GC.GetAllocatedBytesForCurrentThread();
        var started = Stopwatch.GetTimestamp();
        try
        {
            await ByName[name](input);
        }
        catch (ImageFormatException)
        {
            // Refused by name.
        }
        catch (EndOfStreamException)
        {
            // The file ends inside something that its header promised.
        }

        var took = Stopwatch.GetElapsedTime(started);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (took > budgetTime || allocated > BudgetBytes)
        {
            throw new InvalidOperationException($"{name}: {took.TotalSeconds:F1} s, {allocated} bytes allocated.");
        }
    }

    private static async Task ReadAsync(byte[] input)
    {
        var source = new FuzzBytes(input);
        await using var image = await QcowImage.OpenAsync(
            source, new DiskOpenOptions { Limits = Limits.Local }, CancellationToken.None);
        await ReadAsync(image);
    }

    /// <summary>Maps a disk and reads some of it.</summary>
    /// <exception cref="InvalidOperationException">The map has a gap.</exception>
    public static async Task ReadAsync(DiskImage image)
    {
        var buffer = new byte[64 << 10];
        var budget = ReadBytes;
        var position = 0L;
        await foreach (var extent in image.MapAsync(0, image.VirtualSize, CancellationToken.None))
        {
            if (extent.Start != position || extent.Length <= 0)
            {
                throw new InvalidOperationException($"The map has a gap at {position}.");
            }

            position = extent.End;
            for (var at = extent.Start; extent.IsStored && at < extent.End && at < image.VirtualSize && budget > 0;)
            {
                var count = (int)Math.Min(buffer.Length, Math.Min(extent.End, image.VirtualSize) - at);
                await image.ReadAsync(at, buffer.AsMemory(0, count), CancellationToken.None);
                at += count;
                budget -= count;
            }

            if (budget <= 0)
            {
                break;
            }
        }
    }

    /// <summary>The packed file as it is and with its checksums made right, as the server opens it and as the command
    /// line does.</summary>
    private static async Task DiskAsync(DiskFormat format, byte[] input)
    {
        var file = SparseBytes.Unpack(input);
        for (var round = 0; round < 2; round++)
        {
            foreach (var limits in new[] { Limits.Strict, Limits.Local })
            {
                try
                {
                    await using var image = await DiskImages.OpenAsync(
                        file, format, new DiskOpenOptions { Limits = limits }, CancellationToken.None);
                    await ReadAsync(image);
                    await foreach (var run in image.StatusAsync(
                        0, Math.Min(image.VirtualSize, 1 << 30), CancellationToken.None))
                    {
                        if (run.Length <= 0)
                        {
                            throw new InvalidOperationException("A run of the status is empty.");
                        }
                    }
                }
                catch (ImageFormatException)
                {
                    // Refused by name; the other openings may not be.
                }
            }

            file.RepairChecksums();
        }
    }

    private static async Task CheckAsync(byte[] input)
    {
        var file = new FuzzBytes((byte[])input.Clone());
        var found = await QcowCheck.CheckAsync(file, CancellationToken.None);
        var repaired = await QcowRepair.RepairAsync(file, QcowRepairMode.All, CancellationToken.None);
        var after = await QcowCheck.CheckAsync(file, CancellationToken.None);
        if (after != repaired with { CorruptionsFixed = 0, LeaksFixed = 0 })
        {
            throw new InvalidOperationException($"The repair said {repaired}, a check says {after}.");
        }

        if (found.IsClean && !after.IsClean)
        {
            throw new InvalidOperationException("The repair broke a clean image.");
        }
    }

    private static Task InspectAsync(byte[] input)
    {
        // The first byte says how the stream is cut: the verdict must not depend on it.
        var whole = Inspect(input, int.MaxValue);
        var cut = Inspect(input, input.Length == 0 ? 1 : 1 + (input[0] * 7));
        return whole == cut
            ? Task.CompletedTask
            : throw new InvalidOperationException($"Cut in pieces: {cut}, as a whole: {whole}.");
    }

    private static string Inspect(byte[] input, int pieceBytes)
    {
        var inspector = new FormatInspector();
        for (var at = 0; at < input.Length; at += Math.Min(pieceBytes, input.Length - at))
        {
            inspector.Feed(input.AsSpan(at, Math.Min(pieceBytes, input.Length - at)));
        }

        var inspection = inspector.Finish();
        return $"{inspection} {string.Join(',', inspection.Failures)}";
    }
}
