using System.Diagnostics;
using System.Globalization;

namespace Registry.Api.Cli;

/// <summary>A progress line on standard error while that is a terminal; nothing on a pipe.</summary>
internal sealed class ProgressBar(string verb, long total) : IDisposable
{
    private const int Width = 30;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private readonly bool _isShown = !Console.IsErrorRedirected;
    private readonly long _started = Stopwatch.GetTimestamp();
    private TimeSpan _drawnAt = -Interval;
    private long _total = total;
    private long _done;

    /// <summary>Counts bytes that were dealt with.</summary>
    public void Add(long bytes) => Set(_done + bytes, _total);

    /// <summary>Says how far it is.</summary>
    public void Set(long done, long total)
    {
        (_done, _total) = (done, total);
        var elapsed = Stopwatch.GetElapsedTime(_started);
        if (_isShown && elapsed - _drawnAt >= Interval)
        {
            _drawnAt = elapsed;
            Draw(elapsed);
        }
    }

    /// <summary>Clears the line.</summary>
    public void Dispose()
    {
        if (_isShown)
        {
            Console.Error.Write("\r\u001b[K");
        }
    }

    private void Draw(TimeSpan elapsed)
    {
        var part = _total > 0 ? Math.Min(1, (double)_done / _total) : 0;
        var bar = new string('#', (int)(part * Width)).PadRight(Width, '.');
        var rate = Sizes.Show((long)(_done / Math.Max(0.001, elapsed.TotalSeconds)));
        Console.Error.Write(string.Create(
            CultureInfo.InvariantCulture,
            $"\r{verb} [{bar}] {part * 100,5:0.0}% {Sizes.Show(_done)} {rate}/s\u001b[K"));
    }
}
