using System.Globalization;
using Registry.Engine.Convert;

namespace Registry.Api.Cli;

/// <summary>How far a verb on a local disk is: a bar on a terminal; on a pipe what <c>qemu-img -p</c> prints, because
/// there are programs that read it.</summary>
internal sealed class DiskProgress : IProgress<long>, IProgress<ConvertProgress>, IDisposable
{
    private const float StepPercent = 1;
    private readonly ProgressBar? _bar;
    private readonly long _total;
    private float _shown = float.MinValue;

    private DiskProgress(string verb, long total)
    {
        _total = total;
        if (!Console.IsErrorRedirected && !Console.IsOutputRedirected)
        {
            _bar = new ProgressBar(verb, total);
        }

        Show(0);
    }

    /// <summary>Begins to show progress where it is wanted.</summary>
    /// <param name="isWanted">Whether it is.</param>
    /// <param name="verb">What is done.</param>
    /// <param name="total">Bytes that will be done.</param>
    public static DiskProgress? Begin(bool isWanted, string verb, long total) =>
        isWanted ? new DiskProgress(verb, total) : null;

    /// <inheritdoc/>
    public void Report(long value) => Set(value, _total);

    /// <inheritdoc/>
    public void Report(ConvertProgress value) => Set(value.BytesDone, value.BytesTotal);

    /// <summary>Everything is done.</summary>
    public void Complete() => Show(100);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_bar is not null)
        {
            _bar.Dispose();
        }
        else
        {
            Console.WriteLine();
        }
    }

    private void Set(long done, long total)
    {
        _bar?.Set(done, total);
        var percent = total <= 0 ? 100 : Math.Min(100, done * 100f / total);
        if (percent > _shown + StepPercent)
        {
            Show(percent);
        }
    }

    private void Show(float percent)
    {
        _shown = percent;
        if (_bar is null)
        {
            Console.Write(string.Create(CultureInfo.InvariantCulture, $"    ({percent:0.00}/100%)\r"));
        }
    }
}
