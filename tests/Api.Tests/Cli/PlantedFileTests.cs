using Registry.Api.Cli;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>What another user can put into the directory of a target is neither followed nor believed.</summary>
public sealed class PlantedFileTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private const int MarkAt = 1 << 20;

    /// <summary>File systems record when a file was made to a few milliseconds.</summary>
    private static readonly TimeSpan BirthTimes = TimeSpan.FromMilliseconds(20);

    private readonly TempDirectory _directory = new();
    private readonly TargetVerbs _verbs = new(app);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Target => _directory.File("disk");

    private string Part => _directory.File(".disk.part");

    public void Dispose()
    {
        _directory.Dispose();
        _verbs.Dispose();
    }

    [Theory]
    [InlineData("link")]
    [InlineData("link to nothing")]
    [InlineData("hard link")]
    [InlineData("writable for others")]
    [InlineData("of another user")]
    [InlineData("pipe")]
    [InlineData("socket")]
    [InlineData("directory")]
    public async Task An_unfinished_file_that_another_user_can_have_made_is_refused(string kind)
    {
        var victim = _directory.File("victim");
        await File.WriteAllTextAsync(victim, "precious", Stop);
        using var socket = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, default);
        await PlantAsync(kind, victim, socket);
        var refused = await _verbs.RunAsync("provision", Target);

        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"'{Part}' is not a regular file with one name", refused.Error, StringComparison.Ordinal);
        Assert.Equal("precious", await File.ReadAllTextAsync(victim, Stop));
        Assert.False(File.Exists(Target));
        Assert.False(File.Exists(_directory.File("nothing")));
    }

    [Theory]
    [InlineData("without a code")]
    [InlineData("by another key")]
    [InlineData("of another file")]
    [InlineData("changed")]
    public async Task A_mark_that_no_run_of_this_user_made_here_is_not_believed(string how)
    {
        var id = await app.UploadAsync(_verbs.Content);
        var evil = new byte[_verbs.Content.Length];
        Array.Fill(evil, (byte)0xBB);
        var mark = await MarkAsync(id);
        await Leftover.WriteAsync(Part, mark, evil);
        await SpoilAsync(how, mark);
        var done = await RegistryCommandLine.RunAsync("provision", id, "--to", Target, "--url", $"{app.Url}");

        Assert.True(done.ExitCode == 0, done.Error);
        Assert.DoesNotContain("resumed", done.Output, StringComparison.Ordinal);
        Assert.Equal(_verbs.Content, await File.ReadAllBytesAsync(Target, Stop));
    }

    [Fact]
    public async Task A_mark_of_this_user_is_believed()
    {
        // The control of the tests above: the same leftover, with nothing wrong.
        var id = await app.UploadAsync(_verbs.Content);
        await Leftover.WriteAsync(Part, await MarkAsync(id), _verbs.Content);
        var done = await RegistryCommandLine.RunAsync("provision", id, "--to", Target, "--url", $"{app.Url}");
        Assert.True(done.ExitCode == 0, done.Error);
        Assert.Contains("resumed at", done.Output, StringComparison.Ordinal);
        Assert.Equal(_verbs.Content, await File.ReadAllBytesAsync(Target, Stop));
    }

    [Fact]
    public async Task The_key_is_outside_the_target_and_for_its_user_only()
    {
        await _verbs.RunAsync("provision", Target);
        var key = Path.Combine(RegistryCommandLine.StateHome, "registry", "resume.key");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, FileStatus.Of(key)!.Value.Mode);
        Assert.Equal(32, new FileInfo(key).Length);
    }

    [Theory]
    [InlineData("convert")]
    [InlineData("create")]
    [InlineData("pull")]
    [InlineData("dd")]
    public async Task Links_by_guessed_names_of_unfinished_files_are_not_followed(string verb)
    {
        var victim = _directory.File("victim");
        await File.WriteAllTextAsync(victim, "precious", Stop);
        foreach (var name in new[] { ".disk.part", $".disk.{Environment.ProcessId}.part" })
        {
            File.CreateSymbolicLink(_directory.File(name), victim);
        }

        var done = await _verbs.RunAsync(verb, Target);
        Assert.True(done.ExitCode == 0, done.Error);
        Assert.Equal("precious", await File.ReadAllTextAsync(victim, Stop));
        await _verbs.RequireWrittenAsync(verb, Target);
    }

    [Theory]
    [InlineData(".lock", "link")]
    [InlineData(".lock", "hard link")]
    [InlineData(".overlays", "link")]
    [InlineData(".overlays", "link to nothing")]
    [InlineData(".digests", "link")]
    [InlineData("", "link")]
    [InlineData("", "hard link")]
    public async Task The_files_of_a_cache_are_not_opened_through_links(string suffix, string kind)
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        var cache = Path.Combine(_verbs.Home, "cache");
        var name = Directory.GetFiles(cache, "*.raw").Single() + suffix;
        var victim = Path.Combine(_verbs.Home, "victim");
        File.Copy(name, victim);
        var before = await File.ReadAllBytesAsync(victim, Stop);
        File.Delete(name);
        if (kind == "hard link")
        {
            await ExternalTool.Require("ln").OutputAsync(Stop, victim, name);
        }
        else
        {
            File.CreateSymbolicLink(name, kind == "link" ? victim : _directory.File("nothing"));
        }

        var refused = await _verbs.RunAsync("thin", _directory.File("second"));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"'{name}' is not a regular file with one name", refused.Error, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(victim, Stop));
        Assert.False(File.Exists(_directory.File("nothing")));
        Assert.False(File.Exists(_directory.File("second")));
    }

    private async Task<ProvisionMark> MarkAsync(string id)
    {
        var digest = (await app.ShowAsync(id)).GetProperty("os_hash_value").GetString()!;
        return ProvisionMark.Of(id, digest, "raw", 0) with { Offset = MarkAt };
    }

    private async Task PlantAsync(string kind, string victim, System.Net.Sockets.Socket socket)
    {
        switch (kind)
        {
            case "link":
                File.CreateSymbolicLink(Part, victim);
                break;
            case "link to nothing":
                File.CreateSymbolicLink(Part, _directory.File("nothing"));
                break;
            case "hard link":
                await ExternalTool.Require("ln").OutputAsync(Stop, victim, Part);
                break;
            case "writable for others":
                File.Copy(victim, Part);
                FileModes.Set(Part, (UnixFileMode)0b110_110_110);
                break;
            case "of another user":
                Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root to give a file away");
                File.Copy(victim, Part);
                FileModes.Set(Part, (UnixFileMode)0b110_000_000);
                await ExternalTool.Require("chown").OutputAsync(Stop, "12345", Part);
                break;
            case "pipe":
                await ExternalTool.Require("mkfifo").OutputAsync(Stop, Part);
                break;
            case "socket":
                socket.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(Part));
                break;
            default:
                Directory.CreateDirectory(Part);
                break;
        }
    }

    private async Task SpoilAsync(string how, ProvisionMark mark)
    {
        var bytes = await File.ReadAllBytesAsync(Part, Stop);
        switch (how)
        {
            case "without a code":
                var text = System.Text.Encoding.UTF8.GetString(bytes, 0, 512).TrimEnd('\0');
                var head = text[..(text.IndexOf('\n', StringComparison.Ordinal) + 1)];
                bytes.AsSpan(0, 512).Clear();
                System.Text.Encoding.UTF8.GetBytes(head + text[text.IndexOf('{', StringComparison.Ordinal)..])
                    .CopyTo(bytes, 0);
                break;
            case "by another key":
                await Leftover.WriteAsync(Part, mark, bytes, new ResumeKey(new byte[32]));
                return;
            case "of another file":
                // A mark that is right where it was made, copied with its file; the copy may well get the same inode.
                File.Delete(Part);
                await Task.Delay(BirthTimes, Stop);
                break;
            default:
                var at = System.Text.Encoding.UTF8.GetString(bytes, 0, 512).IndexOf($"{MarkAt}", StringComparison.Ordinal);
                bytes[at] = (byte)'2';
                break;
        }

        await File.WriteAllBytesAsync(Part, bytes, Stop);
    }
}
