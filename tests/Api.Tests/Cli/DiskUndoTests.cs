using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A change of a disk that fails leaves size and content of all files as they were.</summary>
public sealed class DiskUndoTests(UndoLab lab) : IClassFixture<UndoLab>, IDisposable
{
    private const string Mebibytes = "16";

    private readonly TempDirectory _directory = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("resize -f raw --preallocation=falloc base.raw 15T")]
    [InlineData("resize -f raw --preallocation=metadata base.raw 4M")]
    [InlineData("resize -f raw base.raw 9000P")]
    [InlineData("resize --preallocation=falloc disk.qcow2 15T")]
    [InlineData("resize --preallocation=full snap.qcow2 15T")]
    [InlineData("resize --preallocation=metadata overlay.qcow2 4M")]
    [InlineData("resize --preallocation=falloc overlay.qcow2 4M")]
    [InlineData("resize --preallocation=full overlay.qcow2 4M")]
    [InlineData("resize --preallocation=falloc data.qcow2 15T")]
    [InlineData("resize disk.qcow2 9000P")]
    [InlineData("resize v2snap.qcow2 4M")]
    [InlineData("amend -o size=4M,compat=0.10 bitmaps.qcow2")]
    [InlineData("amend -o size=4M,backing_file=other.raw disk.qcow2")]
    [InlineData("amend -o size=4M,refcount_bits=1 snap.qcow2")]
    [InlineData("amend -o compat=0.10,size=4M snap.qcow2")]
    [InlineData("amend -o lazy_refcounts=on,size=9000P disk.qcow2")]
    [InlineData("amend -o refcount_bits=64,size=9000P disk.qcow2")]
    [InlineData("bitmap --add --merge absent disk.qcow2 new")]
    [InlineData("bitmap --clear --merge absent bitmaps.qcow2 a")]
    [InlineData("bitmap --remove --enable bitmaps.qcow2 a")]
    [InlineData("bitmap --merge a --merge absent bitmaps.qcow2 b")]
    [InlineData("bitmap --disable --add bitmaps.qcow2 a")]
    [InlineData("snapshot -c LONG disk.qcow2")]
    [InlineData("snapshot -c one data.qcow2")]
    [InlineData("snapshot -a absent snap.qcow2")]
    [InlineData("rebase -b LONG -F raw overlay.qcow2")]
    [InlineData("rebase -u -b LONG -F raw overlay.qcow2")]
    [InlineData("rebase -b absent.raw -F raw overlay.qcow2")]
    [InlineData("commit -b absent.raw overlay.qcow2")]
    [InlineData("convert -n -O qcow2 base.raw small.qcow2")]
    [InlineData("convert -n -f raw -O raw base.raw small.raw")]
    [InlineData("create -f qcow2 -o preallocation=falloc new.qcow2 15T")]
    [InlineData("create -f qcow2 -o preallocation=metadata -b base.raw -F raw new.qcow2")]
    [InlineData("create -f qcow2 -o data_file=fresh.raw,preallocation=falloc new.qcow2 15T")]
    [InlineData("create -f qcow2 -o data_file=fresh.raw new.qcow2 9000P")]
    [InlineData("create -f qcow2 -b LONG -F raw -u new.qcow2 1M")]
    [InlineData("create -f raw -o preallocation=full new.raw 9000P")]
    [InlineData("convert -O qcow2 -o encrypt.format=luks base.raw new.qcow2")]
    [InlineData("convert -O qcow2 -B absent.raw -F raw base.raw new.qcow2")]
    [InlineData("convert -O qcow2 -o data_file=fresh.raw cut.qcow2 new.qcow2")]
    [InlineData("convert --bitmaps -O qcow2 -o compat=0.10 bitmaps.qcow2 new.qcow2")]
    [InlineData("dd if=cut.qcow2 of=new.raw bs=64k")]
    public async Task A_refused_or_failed_change_leaves_all_files_as_they_were(string line)
    {
        await lab.CopyAsync(_directory.Path, isLargeWanted: false);
        var before = await ListAsync();
        var words = line.Split(' ').Select(word => word == "LONG" ? new string('n', 70_000) : word);
        var failed = await RegistryCommandLine.RunAsync(["disk", .. words.Select(Place)]);

        Assert.True(failed.ExitCode == 1, $"{line}: {failed.ExitCode} {failed.Output}");
        Assert.DoesNotContain("unexpected error", failed.Error, StringComparison.Ordinal);
        Assert.Equal(before, await ListAsync());
    }

    [Theory]
    [InlineData("resize -f raw --preallocation=full base.raw 64M")]
    [InlineData("resize -f raw --preallocation=falloc base.raw 64M")]
    [InlineData("resize --preallocation=falloc disk.qcow2 64M")]
    [InlineData("resize --preallocation=full bitmaps.qcow2 64M")]
    [InlineData("resize --preallocation=full data.qcow2 64M")]
    [InlineData("resize small-clusters.qcow2 100G")]
    [InlineData("amend -o size=100G small-clusters.qcow2")]
    [InlineData("create -f raw -o preallocation=full new.raw 64M")]
    [InlineData("create -f qcow2 -o preallocation=full new.qcow2 64M")]
    [InlineData("create -f qcow2 -o preallocation=full,data_file=fresh.raw new.qcow2 64M")]
    [InlineData("convert -O raw large.qcow2 new.raw")]
    [InlineData("convert -O qcow2 large.qcow2 new.qcow2")]
    [InlineData("convert -O qcow2 -o preallocation=falloc large.qcow2 new.qcow2")]
    [InlineData("convert -O qcow2 -B base.raw -F raw large.qcow2 new.qcow2")]
    [InlineData("rebase -b other.raw -F raw wide.qcow2")]
    public async Task A_full_file_system_leaves_all_files_as_they_were_and_their_space_free(string line)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root to mount a file system");
        await ExternalTool.Require("mount").OutputAsync(
            Stop, "-t", "tmpfs", "-o", $"size={Mebibytes}m", "none", _directory.Path);
        try
        {
            await lab.CopyAsync(_directory.Path, isLargeWanted: true);
            var (before, free) = (await ListAsync(), new DriveInfo(_directory.Path).AvailableFreeSpace);
            var failed = await RegistryCommandLine.RunAsync(["disk", .. line.Split(' ').Select(Place)]);

            Assert.True(failed.ExitCode == 1, $"{line}: {failed.ExitCode} {failed.Output}");
            Assert.DoesNotContain("unexpected error", failed.Error, StringComparison.Ordinal);
            Assert.Contains("No space left", failed.Error, StringComparison.Ordinal);
            Assert.Equal(before, await ListAsync());
            Assert.InRange(new DriveInfo(_directory.Path).AvailableFreeSpace, free - (64 << 10), long.MaxValue);
        }
        finally
        {
            await ExternalTool.Require("umount").OutputAsync(CancellationToken.None, _directory.Path);
        }
    }

    private string Place(string word)
    {
        if (word.StartsWith("data_file=", StringComparison.Ordinal))
        {
            return "data_file=" + Place(word["data_file=".Length..]);
        }

        if (word.StartsWith("if=", StringComparison.Ordinal) || word.StartsWith("of=", StringComparison.Ordinal))
        {
            return word[..3] + Place(word[3..]);
        }

        return !word.Contains('=', StringComparison.Ordinal)
            && (word.EndsWith(".raw", StringComparison.Ordinal) || word.EndsWith(".qcow2", StringComparison.Ordinal))
            ? _directory.File(word)
            : word;
    }

    /// <summary>Names, lengths and content.</summary>
    private async Task<List<string>> ListAsync()
    {
        var lines = new List<string>();
        foreach (var path in Directory.GetFiles(_directory.Path).Order(StringComparer.Ordinal))
        {
            await using var file = File.OpenRead(path);
            lines.Add(
                $"{Path.GetFileName(path)} {file.Length} {Convert.ToHexString(await SHA256.HashDataAsync(file, Stop))}");
        }

        return lines;
    }
}
