using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Registry.Support;

namespace Registry.Api.Tests;

/// <summary>Files of the operator's are read again when they change, and only when they can be used.</summary>
public sealed class WatchedFilesTests : IDisposable
{
    private static readonly DateTime Begin = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);
    private readonly TempDirectory _directory = new();
    private readonly FakeTimeProvider _clock = new();
    private readonly Lines _log = new();
    private int _reads;
    private int _writes;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void They_are_read_again_when_one_changes_and_looked_at_once_a_second()
    {
        Write("a", "1");
        Write("b", "2");
        var files = Watch("a", "b");
        Assert.Equal("1 2", files.Content);
        Pass();
        Assert.Equal("1 2", files.Content);
        Assert.Equal(1, _reads);

        Write("b", "3");
        Assert.Equal("1 2", files.Content);
        Pass();
        Assert.Equal("1 3", files.Content);
        Assert.Equal("1 3", files.Content);
        Assert.Equal(2, _reads);
        Assert.Equal(LogLevel.Information, Assert.Single(_log.Levels));
    }

    [Fact]
    public void What_cannot_be_used_changes_nothing_is_told_once_and_tried_again()
    {
        Write("a", "1");
        Write("b", "2");
        var files = Watch("a", "b");
        foreach (var broken in new Action[] { () => Write("a", "broken"), () => File.Delete(_directory.File("b")) })
        {
            broken();
            for (var second = 0; second < 3; second++)
            {
                Pass();
                Assert.Equal("1 2", files.Content);
            }
        }

        Assert.Equal([LogLevel.Error, LogLevel.Error], _log.Levels);
        Write("a", "5");
        Write("b", "6");
        Pass();
        Assert.Equal("5 6", files.Content);
    }

    [Fact]
    public void A_link_that_leads_elsewhere_is_a_change()
    {
        // As Kubernetes replaces secrets: a link to a file by way of a link to its directory, which alone is replaced.
        foreach (var generation in new[] { "one", "two" })
        {
            Directory.CreateDirectory(_directory.File(generation));
            Write(Path.Combine(generation, "a"), generation);
        }

        Directory.CreateSymbolicLink(_directory.File("data"), "one");
        File.CreateSymbolicLink(_directory.File("a"), Path.Combine("data", "a"));
        var files = Watch("a");
        Assert.Equal("one", files.Content);

        Directory.Delete(_directory.File("data")); // the link alone
        Directory.CreateSymbolicLink(_directory.File("data"), "two");
        Pass();
        Assert.Equal("two", files.Content);
    }

    [Fact]
    public void What_cannot_be_used_at_the_start_is_refused()
    {
        Write("a", "broken");
        Assert.Throws<ConfigurationException>(() => Watch("a"));
        Assert.Throws<FileNotFoundException>(() => Watch("nothing"));
    }

    private WatchedFiles<string> Watch(params string[] names) => new(
        names.Select(_directory.File),
        () =>
        {
            _reads++;
            var text = string.Join(' ', names.Select(name => File.ReadAllText(_directory.File(name))));
            return text.Contains("broken", StringComparison.Ordinal) ? throw new ConfigurationException("broken") : text;
        },
        _clock,
        _log);

    // Two writes within the same tick of the file system's clock are not what is tried here.
    private void Write(string name, string text)
    {
        File.WriteAllText(_directory.File(name), text);
        File.SetLastWriteTimeUtc(_directory.File(name), Begin.AddSeconds(_writes++));
    }

    private void Pass() => _clock.Advance(TimeSpan.FromSeconds(1));

    private sealed class Lines : ILogger
    {
        public List<LogLevel> Levels { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => Levels.Add(logLevel);
    }
}
