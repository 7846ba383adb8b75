using System.Text.Json;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The bases of thin disks: for one user only, and checked before they are built on.</summary>
public sealed class ThinCacheTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly TargetVerbs _verbs = new(app);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Cache => Path.Combine(_verbs.Home, "cache");

    private string Base => Directory.GetFiles(Cache, "*.raw").Single();

    public void Dispose()
    {
        _directory.Dispose();
        _verbs.Dispose();
    }

    [Theory]
    [InlineData(0b111_111_101)]
    [InlineData(0b111_101_111)]
    [InlineData(0b1_111_111_111)]
    public async Task A_cache_that_others_can_write_is_refused_by_every_verb(int mode)
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        FileModes.Set(Cache, (UnixFileMode)mode);
        await RequireRefusedAsync("no other user may write to it");
    }

    [Theory]
    [InlineData("others can write above it")]
    [InlineData("another user owns what is above it")]
    [InlineData("another user owns it")]
    public async Task A_cache_that_others_can_replace_is_refused(string how)
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        switch (how)
        {
            case "others can write above it":
                FileModes.Set(_verbs.Home, (UnixFileMode)0b111_111_111);
                break;
            default:
                Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root to give a directory away");
                await ExternalTool.Require("chown").OutputAsync(
                    Stop, "12345", how == "another user owns it" ? Cache : _verbs.Home);
                break;
        }

        await RequireRefusedAsync(
            how == "another user owns it" ? "must belong to this user" : "where other users can replace it");
    }

    [Fact]
    public async Task A_cache_below_a_sticky_directory_and_by_a_link_is_taken()
    {
        var link = _directory.File("link");
        Directory.CreateDirectory(Cache);
        FileModes.Set(Cache, (UnixFileMode)0b111_101_101);
        File.CreateSymbolicLink(link, Cache);
        FileModes.Set(_verbs.Home, (UnixFileMode)0b1_111_111_111);
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        Assert.Equal(0, (await RegistryCommandLine.RunAsync("cache", "list", "--cache", link)).ExitCode);
    }

    [Fact]
    public async Task A_new_cache_and_all_in_it_are_for_their_user()
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        const UnixFileMode ForOthers = (UnixFileMode)0b000_111_111;
        Assert.Equal((UnixFileMode)0b111_000_000, FileStatus.Of(Cache)!.Value.Mode);
        Assert.All(Directory.GetFiles(Cache), path => Assert.Equal(
            UnixFileMode.None, FileStatus.Of(path)!.Value.Mode & ForOthers));
        Assert.Equal((UnixFileMode)0b100_000_000, FileStatus.Of(Base)!.Value.Mode);

        File.Delete(Base);
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("second"), "--mode", "0644")).ExitCode);
        Assert.Equal((UnixFileMode)0b100_100_100, FileStatus.Of(Base)!.Value.Mode);
    }

    [Theory]
    [InlineData("one byte")]
    [InlineData("in a hole")]
    [InlineData("shorter")]
    [InlineData("longer")]
    [InlineData("replaced")]
    public async Task A_base_that_was_changed_is_found_and_not_built_on(string how)
    {
        var first = _directory.File("first");
        Assert.Equal(0, (await _verbs.RunAsync("thin", first)).ExitCode);
        await ChangeAsync(how);

        var check = await RegistryCommandLine.RunAsync("cache", "check", "--cache", Cache, "--output", "json");
        Assert.Equal(1, check.ExitCode);
        var said = JsonDocument.Parse(check.Output).RootElement[0];
        Assert.Equal("damaged", said.GetProperty("state").GetString());
        Assert.InRange(said.GetProperty("damaged_blocks").GetInt64(), 1, 3);
        var refused = await _verbs.RunAsync("thin", _directory.File("second"));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("1 thin disks depend on it", refused.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_directory.File("second")));

        // Without a disk that depends on it, it is fetched again.
        File.Delete(first);
        Assert.Equal(0, (await _verbs.RunAsync("thin", first)).ExitCode);
        await _verbs.RequireWrittenAsync("thin", first);
        Assert.Equal(0, (await RegistryCommandLine.RunAsync("cache", "check", "--cache", Cache)).ExitCode);
    }

    [Fact]
    public async Task A_base_that_only_moved_is_checked_once_and_kept()
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        var (path, copy) = (Base, Path.Combine(Cache, "copy"));
        File.Copy(path, copy);
        File.Move(copy, path, overwrite: true);
        var second = await _verbs.RunAsync("thin", _directory.File("second"), "--output", "json");
        Assert.True(second.ExitCode == 0, second.Error);
        Assert.Equal(
            0, JsonDocument.Parse(second.Output).RootElement.GetProperty("read-from-store").GetInt64());
        await _verbs.RequireWrittenAsync("thin", _directory.File("second"));
    }

    [Theory]
    [InlineData("gone")]
    [InlineData("empty")]
    [InlineData("cut")]
    [InlineData("garbage")]
    public async Task A_base_of_which_nothing_is_recorded_is_fetched_again(string how)
    {
        var first = _directory.File("first");
        Assert.Equal(0, (await _verbs.RunAsync("thin", first)).ExitCode);
        var record = Base + ".digests";
        var bytes = await File.ReadAllBytesAsync(record, Stop);
        if (how == "gone")
        {
            File.Delete(record);
        }
        else
        {
            await File.WriteAllBytesAsync(
                record, how switch { "empty" => [], "cut" => bytes[..^1], _ => new byte[bytes.Length] }, Stop);
        }

        var check = await RegistryCommandLine.RunAsync("cache", "check", "--cache", Cache);
        Assert.Equal(1, check.ExitCode);
        Assert.Contains("unknown", check.Output, StringComparison.Ordinal);
        Assert.Equal(1, (await _verbs.RunAsync("thin", _directory.File("second"))).ExitCode);
        File.Delete(first);
        var again = await _verbs.RunAsync("thin", first, "--output", "json");
        Assert.True(JsonDocument.Parse(again.Output).RootElement.GetProperty("read-from-store").GetInt64() > 0);
        await _verbs.RequireWrittenAsync("thin", first);
    }

    [Fact]
    public async Task A_base_that_is_whole_is_reported_so()
    {
        Assert.Equal(0, (await _verbs.RunAsync("thin", _directory.File("first"))).ExitCode);
        var check = await RegistryCommandLine.RunAsync("cache", "check", "--cache", Cache, "--output", "json");
        Assert.Equal(0, check.ExitCode);
        var said = Assert.Single(JsonDocument.Parse(check.Output).RootElement.EnumerateArray());
        Assert.Equal(("whole", 1), (said.GetProperty("state").GetString(), said.GetProperty("overlays").GetInt32()));
    }

    private async Task RequireRefusedAsync(string reason)
    {
        foreach (var refused in new[]
        {
            await _verbs.RunAsync("thin", _directory.File("second")),
            await RegistryCommandLine.RunAsync("cache", "list", "--cache", Cache),
            await RegistryCommandLine.RunAsync("cache", "prune", "--cache", Cache),
            await RegistryCommandLine.RunAsync("cache", "check", "--cache", Cache),
        })
        {
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains(reason, refused.Error, StringComparison.Ordinal);
        }

        Assert.False(File.Exists(_directory.File("second")));
    }

    private async Task ChangeAsync(string how)
    {
        var path = Base;
        FileModes.Set(path, (UnixFileMode)0b110_000_000);
        if (how == "replaced")
        {
            await File.WriteAllBytesAsync(path + ".new", new byte[_verbs.Content.Length], Stop);
            FileModes.Set(path + ".new", (UnixFileMode)0b110_000_000);
            File.Move(path + ".new", path, overwrite: true);
            return;
        }

        await using var file = FileBytes.OpenWrite(path);
        await (how switch
        {
            "one byte" => file.WriteAsync(100_000, new byte[1], Stop).AsTask(),
            "in a hole" => file.WriteAsync(1_500_000, new byte[] { 1 }, Stop).AsTask(),
            "shorter" => file.SetLengthAsync(file.Length - 512, Stop).AsTask(),
            _ => file.SetLengthAsync(file.Length + 512, Stop).AsTask(),
        });
    }
}
