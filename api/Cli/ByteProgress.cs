using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>Shows guest bytes done on a bar.</summary>
internal sealed class ByteProgress : IProgress<long>
{
    private readonly ProgressBar _bar;
    private readonly long _total;

    private ByteProgress(ProgressBar bar, long total) => (_bar, _total) = (bar, total);

    /// <summary>For a bar; null where there is none.</summary>
    public static ByteProgress? To(ProgressBar? bar, IDiskWriter disk) =>
        bar is null ? null : new ByteProgress(bar, disk.VirtualSize);

    /// <inheritdoc/>
    public void Report(long value) => _bar.Set(value, _total);
}
