namespace Registry.Api;

/// <summary>What files of the operator's say, read again when one of them changes.</summary>
/// <remarks>They are looked at when somebody asks, at most once a second. Files that have become unusable change nothing:
/// better what they said yesterday than nothing.</remarks>
/// <typeparam name="T">What they say.</typeparam>
internal sealed class WatchedFiles<T>
    where T : class
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(1);

    private readonly Func<T> _read;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly string[] _paths;
    private readonly Lock _looking = new();
    private volatile Seen _seen;

    /// <summary>Reads them for the first time.</summary>
    /// <param name="paths">The files.</param>
    /// <param name="read">Reads them all.</param>
    /// <param name="clock">The time.</param>
    /// <param name="logger">Told when they were read again, and when they cannot be used.</param>
    /// <exception cref="ConfigurationException">They cannot be used.</exception>
    public WatchedFiles(IEnumerable<string> paths, Func<T> read, TimeProvider clock, ILogger logger)
    {
        (_paths, _read, _clock, _logger) = ([.. paths], read, clock, logger);
        var state = State(); // before they are read: who writes meanwhile has them read again
        _seen = new Seen(read(), state, null, clock.GetTimestamp());
    }

    /// <summary>What they say now, or said when they could be used last.</summary>
    public T Content
    {
        get
        {
            if (_clock.GetElapsedTime(_seen.LookedAt) >= LookAgain && _looking.TryEnter())
            {
                try
                {
                    _seen = Look(_seen) with { LookedAt = _clock.GetTimestamp() };
                }
                finally
                {
                    _looking.Exit();
                }
            }

            return _seen.Content;
        }
    }

    // Several files are not replaced in one moment: those that do not go together are tried again, and told of once.
    private Seen Look(Seen seen)
    {
        var state = State();
        if (state == seen.State)
        {
            return seen;
        }

        try
        {
            var read = new Seen(_read(), state, null, seen.LookedAt);
            WatchedFilesLog.ReadAgain(_logger, string.Join(", ", _paths));
            return read;
        }
        catch (Exception e) when (e is ConfigurationException or IOException or UnauthorizedAccessException)
        {
            if (seen.Refused != state)
            {
                WatchedFilesLog.NotUsable(_logger, string.Join(", ", _paths), e.Message);
            }

            return seen with { Refused = state };
        }
    }

    private string State() => string.Join('|', _paths.Select(StateOf));

    // Through links, for some replace only the link to a file, or to its directory.
    private static string StateOf(string path)
    {
        try
        {
            var file = new FileInfo(path);
            file = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
            return file.Exists ? $"{file.LastWriteTimeUtc.Ticks} {file.Length}" : "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // who reads it is told why
        }
    }

    private sealed record Seen(T Content, string State, string? Refused, long LookedAt);
}

/// <summary>What the log hears of them.</summary>
internal static partial class WatchedFilesLog
{
    [LoggerMessage(1, LogLevel.Information, "{Files} was read again")]
    public static partial void ReadAgain(ILogger logger, string files);

    [LoggerMessage(2, LogLevel.Error, "{Files} cannot be used, what was read before stays in force: {Reason}")]
    public static partial void NotUsable(ILogger logger, string files, string reason);
}
