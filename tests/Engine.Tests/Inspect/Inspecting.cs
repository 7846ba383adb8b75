using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Inspect;

/// <summary>Feeds whole files to the inspector in pieces.</summary>
internal static class Inspecting
{
    /// <summary>Inspects bytes cut into pieces of one size.</summary>
    public static Inspection InPieces(byte[] file, int pieceBytes)
    {
        var inspector = new FormatInspector();
        for (var start = 0; start < file.Length; start += pieceBytes)
            inspector.Feed(file.AsSpan(start, Math.Min(pieceBytes, file.Length - start)));
        return inspector.Finish();
    }

    /// <summary>Inspects bytes cut at the given places, in any order.</summary>
    public static Inspection CutAt(byte[] file, IEnumerable<int> cuts)
    {
        var inspector = new FormatInspector();
        var start = 0;
        foreach (var end in cuts.Order().Append(file.Length))
        {
            inspector.Feed(file.AsSpan(start, end - start));
            start = end;
        }

        return inspector.Finish();
    }

    /// <summary>Inspects bytes that are read where they lie.</summary>
    /// <returns>What they are, and how many of them were read.</returns>
    public static async Task<(Inspection Found, long Read)> InPlaceAsync(byte[] file)
    {
        await using var source = new CountedBytes(file);
        return (await FormatInspector.InspectAsync(source, TestContext.Current.CancellationToken), source.Read);
    }

    /// <summary>What distinguishes two inspections.</summary>
    public static string Summary(Inspection found) =>
        $"{found.Format} of [{string.Join(' ', found.Matches)}], {found.Length} bytes, disk {found.VirtualSize}: "
        + string.Join("; ", found.Failures.Select(failure => $"{failure.Error} {failure.Message}"));

    /// <summary>What the server does with an upload whose header is sound: every reference in it is looked at.</summary>
    /// <returns>Why it is refused; null when it is not.</returns>
    public static async Task<InspectionFailure?> MapAsync(byte[] file, DiskFormat format)
    {
        try
        {
            await using var disk = await DiskImages.OpenAsync(
                new MemoryBytes(file), format, DiskOpenOptions.Strict, TestContext.Current.CancellationToken);
            await AllocationMapWriter.WriteAsync(
                disk, (_, _) => ValueTask.CompletedTask, TestContext.Current.CancellationToken);
            return null;
        }
        catch (ImageFormatException refusal)
        {
            return new InspectionFailure(refusal.Error, refusal.Message);
        }
    }

    private sealed class CountedBytes(byte[] file) : IByteSource
    {
        public long Length => file.Length;

        public long Read { get; private set; }

        public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
        {
            var count = (int)Math.Clamp(file.Length - offset, 0, buffer.Length);
            file.AsMemory((int)offset, count).CopyTo(buffer);
            Read += count;
            return new(count);
        }

        public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
            new(new ByteRun(Length - offset, IsHole: false));

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
