using System.Net.Sockets;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A target that is neither a regular file nor a block device is streamed into where that makes sense; else it is
/// refused in one line, and stays what it was.</summary>
public sealed class TargetKindTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly TargetVerbs _verbs = new(app);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public static TheoryData<string> Verbs => TargetVerbs.All;

    public void Dispose()
    {
        _directory.Dispose();
        _verbs.Dispose();
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task What_cannot_hold_a_disk_is_refused(string verb)
    {
        var pipe = _directory.File("pipe");
        await ExternalTool.Require("mkfifo").OutputAsync(Stop, pipe);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(_directory.File("socket")));
        Directory.CreateDirectory(_directory.File("directory"));
        File.CreateSymbolicLink(_directory.File("dangling"), _directory.File("nothing"));
        File.CreateSymbolicLink(_directory.File("loop"), _directory.File("loop"));
        File.CreateSymbolicLink(_directory.File("to-directory"), _directory.File("directory"));
        File.CreateSymbolicLink(_directory.File("to-pipe"), pipe);
        var before = await ListAsync();
        foreach (var (name, reason) in new[]
        {
            ("pipe", "neither a regular file nor a block device"),
            ("to-pipe", "neither a regular file nor a block device"),
            ("socket", "neither a regular file nor a block device"),
            ("directory", "is a directory"),
            ("to-directory", "is a directory"),
            ("directory/", "is not the name of a file"),
            ("absent/", "is not the name of a file"),
            ("dangling", "which does not exist"),
            ("loop", ""),
            ("absent/disk", "No such file or directory"),
            ("pipe/disk", "Not a directory"),
            ("/dev/full", "neither a regular file nor a block device"),
            ("/dev/null", "neither a regular file nor a block device"),
            ("/proc/registry-disk", ""),
        }.Where(target => verb != "pull" || !target.Item1.EndsWith("pipe", StringComparison.Ordinal)))
        {
            foreach (var options in new string[][] { [], ["--overwrite"] })
            {
                var refused = await _verbs.RunAsync(verb, Path.Combine(_directory.Path, name), options);
                Assert.True(refused.ExitCode == 1, $"{verb} {name}: {refused.ExitCode}");
                Assert.Matches($"^registry: [^\n]*{reason}[^\n]*\n$", refused.Error);
                Assert.DoesNotContain("unexpected error", refused.Error, StringComparison.Ordinal);
            }
        }

        Assert.Equal(before, await ListAsync());
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task A_name_without_a_file_is_refused(string verb)
    {
        var refused = await _verbs.RunAsync(verb, "");
        Assert.Equal(1, refused.ExitCode);
    }

    [Theory]
    [InlineData("provision")]
    [InlineData("convert")]
    [InlineData("create")]
    public async Task Standard_output_is_refused_where_it_is_a_pipe_and_never_replaced(string verb)
    {
        // Of a process of its own, whose output is a pipe.
        var registry = ExternalTool.Require(RegistryProcess.Executable);
        var id = await app.UploadAsync(_verbs.Content);
        var source = Path.Combine(_directory.Path, "source.raw");
        await File.WriteAllBytesAsync(source, _verbs.Content, Stop);
        string[] arguments = verb switch
        {
            "create" => ["disk", "create", "/dev/stdout", "1M"],
            "convert" => ["disk", "convert", "-f", "raw", source, "/dev/stdout"],
            _ => [verb, id, "--to", "/dev/stdout", "--url", $"{app.Url}"],
        };
        var refused = await registry.RunAsync(arguments, Stop);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("neither a regular file nor a block device", refused.Error, StringComparison.Ordinal);
        Assert.NotNull(new FileInfo("/dev/stdout").LinkTarget);
    }

    [Theory]
    [InlineData("-")]
    [InlineData("/dev/stdout")]
    [InlineData("pipe")]
    [InlineData("to-pipe")]
    public async Task An_image_is_streamed_into_a_pipe_its_zeroes_too(string target)
    {
        var pipe = _directory.File("pipe");
        await ExternalTool.Require("mkfifo").OutputAsync(Stop, pipe);
        File.CreateSymbolicLink(_directory.File("to-pipe"), pipe);
        var content = new byte[5 << 20];
        _verbs.Content.AsSpan(0, 1000).CopyTo(content.AsSpan(3 << 20));
        var id = await app.UploadAsync(content);
        var received = _directory.File("received");
        var line = target is "-" or "/dev/stdout"
            ? $"{RegistryProcess.Executable} pull {id} --url {app.Url} --to {target} | cat >{received}"
            : $"cat {pipe} >{received} & {RegistryProcess.Executable} pull {id} --url {app.Url} --to {_directory.File(target)}; "
                + "result=$?; wait; exit $result";

        await ExternalTool.Require("bash").OutputAsync(Stop, "-o", "pipefail", "-c", line);

        Assert.Equal(content, await File.ReadAllBytesAsync(received, Stop));
    }

    [Fact]
    public async Task A_pipe_that_other_users_may_write_to_is_refused_without_waiting_for_a_reader()
    {
        var pipe = _directory.File("pipe");
        await ExternalTool.Require("mkfifo").OutputAsync(Stop, "-m", "666", pipe);
        var refused = await _verbs.RunAsync("pull", pipe);
        Assert.Equal((1, $"registry: '{pipe}' is a pipe that other users own or may write to\n"), (refused.ExitCode, refused.Error));
    }

    [Fact]
    public async Task A_reader_of_a_pipe_that_goes_away_is_one_line()
    {
        var id = await app.UploadAsync(new byte[8 << 20]);
        var ended = await ExternalTool.Require("bash").RunAsync(
            ["-o", "pipefail", "-c", $"{RegistryProcess.Executable} pull {id} --url {app.Url} --to - | head -c 1 >/dev/null"],
            Stop);
        Assert.Equal(1, ended.ExitCode);
        Assert.Matches("^registry: [^\n]*Broken pipe[^\n]*\n$", ended.Error);
    }

    [Theory]
    [InlineData("pull {1} --url {2} --to {0} --overwrite")]
    [InlineData("provision {1} --url {2} --to {0} --overwrite")]
    [InlineData("disk convert -f raw {3} {0} --overwrite")]
    [InlineData("disk dd if={3} of={0} --overwrite")]
    [InlineData("disk create {0} 1M --overwrite")]
    [InlineData("disk create -f qcow2 {0} 1M --overwrite")]
    public async Task A_user_replaces_no_file_and_no_directory_without_the_right_to_write(string line)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root to become another user");
        var (readOnly, closed, source) = (_directory.File("file"), _directory.File("closed"), _directory.File("source"));
        await File.WriteAllBytesAsync(source, _verbs.Content, Stop);
        await File.WriteAllTextAsync(readOnly, "kept", Stop);
        Directory.CreateDirectory(closed);
        FileModes.Set(_directory.Path, Permissions(0b111_111_111));
        FileModes.Set(source, Permissions(0b110_110_110));
        FileModes.Set(readOnly, Permissions(0b100_100_100));
        FileModes.Set(closed, Permissions(0b101_101_101));
        var id = await app.UploadAsync(_verbs.Content);
        foreach (var target in new[] { readOnly, Path.Combine(closed, "disk") })
        {
            var arguments = string.Format(null, line, target, id, app.Url, source).Split(' ');
            var refused = await ExternalTool.Require("setpriv").RunAsync(
                ["--reuid=12345", "--regid=12345", "--clear-groups", RegistryProcess.Executable, .. arguments], Stop,
                new Dictionary<string, string?> { ["XDG_STATE_HOME"] = _directory.File("state") });
            Assert.True(refused.ExitCode == 1, refused.Output + refused.Error);
            Assert.Matches("^registry: [^\n]*Permission denied[^\n]*\n$", refused.Error);
        }

        Assert.Equal("kept", await File.ReadAllTextAsync(readOnly, Stop));
        Assert.Empty(Directory.GetFileSystemEntries(closed));
    }

    private static UnixFileMode Permissions(int bits) => (UnixFileMode)bits;

    private Task<string> ListAsync() =>
        ExternalTool.Require("ls").OutputAsync(Stop, "-ln", "--time-style=full-iso", _directory.Path);
}
