using System.Text.RegularExpressions;
using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli.Locks;

/// <summary>What has an image open is respected as qemu-img respects it, and the other way round.</summary>
public sealed partial class ImageLockTests(DiskLab lab, RegistryApp app)
    : IClassFixture<DiskLab>, IClassFixture<RegistryApp>, IDisposable
{
    private static readonly string[] Lines =
    [
        "info {base.qcow2}", "info -U {base.qcow2}", "info --backing-chain {top.qcow2}", "info --backing-chain -U {top.qcow2}",
        "check {base.qcow2}", "check -U {base.qcow2}", "check -r all {base.qcow2}",
        "map {base.qcow2}", "map -U {base.qcow2}", "map {top.qcow2}",
        "measure -O qcow2 {base.qcow2}", "measure -O qcow2 -U {base.qcow2}",
        "compare {base.qcow2} {base.qcow2}", "compare -U {base.qcow2} {base.qcow2}",
        "convert -O raw {base.qcow2} {new.raw}", "convert -U -O raw {base.qcow2} {new.raw}",
        "convert -O raw {top.qcow2} {new.raw}", "convert -U -O raw {top.qcow2} {new.raw}",
        "dd if={base.qcow2} of={new.raw}", "dd -U if={base.qcow2} of={new.raw}",
        "bench -c 1 -f qcow2 {base.qcow2}", "bench -c 1 -U -f qcow2 {base.qcow2}", "bench -c 1 -w -f qcow2 {base.qcow2}",
        "snapshot -l {base.qcow2}", "snapshot -l -U {base.qcow2}", "snapshot -c s {base.qcow2}",
        "resize {base.qcow2} +1M", "amend -o compat=v3 {base.qcow2}", "bitmap --add {base.qcow2} b",
        "rebase -b {other.qcow2} -F qcow2 {top.qcow2}",
        "commit -q {middle.qcow2}", "commit -q -b {base.qcow2} {top.qcow2}", "commit -q {top.qcow2}",
        "create -q -f qcow2 -b {base.qcow2} -F qcow2 {new.qcow2}",
        "info -f raw {base.raw}", "map -f raw {base.raw}", "compare -f raw -F raw {base.raw} {base.raw}",
        "convert -f raw -O qcow2 {base.raw} {new.qcow2}", "resize -f raw {base.raw} +1M", "convert -O raw {onraw.qcow2} {new.raw}",
        "commit -q {onraw.qcow2}", "rebase -u -b x -F raw {base.qcow2}",
    ];

    private readonly TempDirectory _directory = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("qemu-io -r -f qcow2 {}", "base.qcow2")]
    [InlineData("qemu-io -U -r -f qcow2 {}", "base.qcow2")]
    [InlineData("qemu-io -f qcow2 {}", "base.qcow2")]
    [InlineData("qemu-nbd -k {}.socket -f qcow2 {}", "base.qcow2")]
    [InlineData("qemu-nbd -k {}.socket -r -f qcow2 {}", "base.qcow2")]
    [InlineData("qemu-io -f qcow2 {}", "middle.qcow2")]
    [InlineData("qemu-io -r -f raw {}", "base.raw")]
    [InlineData("qemu-nbd -k {}.socket -f raw {}", "base.raw")]
    public async Task Every_verb_respects_locks_as_qemu_img_does(string program, string held)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var wrong = new List<string>();
        var (left, right) = (_directory.File("q"), _directory.File("r"));
        foreach (var home in new[] { left, right })
        {
            await lab.CopyAsync(["top.qcow2", "other.qcow2", "onraw.qcow2", "base.raw"], home);
        }

        await using var theirHolder = await ImageHolder.StartAsync(program, Path.Combine(left, held));
        await using var ourHolder = await ImageHolder.StartAsync(program, Path.Combine(right, held));
        foreach (var line in Lines)
        {
            var theirs = await qemu.RunAsync(Arguments(line, left), Stop);
            var ours = await RegistryCommandLine.RunAsync(["disk", .. Arguments(line, right)]);
            if ((theirs.ExitCode == 0) != (ours.ExitCode == 0) || IsLocked(theirs) != IsLocked(ours))
            {
                wrong.Add($"{line}: qemu-img {theirs.ExitCode} {theirs.Error.Trim()}; registry {ours.ExitCode} {ours.Error.Trim()}");
            }

            File.Delete(Path.Combine(left, "new.raw"));
            File.Delete(Path.Combine(right, "new.raw"));
            File.Delete(Path.Combine(left, "new.qcow2"));
            File.Delete(Path.Combine(right, "new.qcow2"));
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Theory]
    [InlineData("disk bench -w -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-io -r -f qcow2 -c quit {}", false)]
    [InlineData("disk bench -w -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-io -U -r -f qcow2 -c quit {}", true)]
    [InlineData("disk bench -w -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-img snapshot -c s {}", false)]
    [InlineData("disk bench -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-io -f qcow2 -c quit {}", false)]
    [InlineData("disk bench -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-io -r -f qcow2 -c quit {}", true)]
    [InlineData("disk bench -c 100000000 -d 1 -f qcow2 {}", "base.qcow2", "qemu-img resize {} +1M", false)]
    [InlineData("disk bench -w -c 100000000 -d 1 -f raw {}", "base.raw", "qemu-io -f raw -c quit {}", false)]
    [InlineData("disk bench -w -c 100000000 -d 1 -f raw {}", "base.raw", "qemu-img resize -f raw {} +1M", false)]
    [InlineData("disk bench -c 100000000 -d 1 -f raw {}", "base.raw", "qemu-io -f raw -c quit {}", true)]
    public async Task Qemu_respects_what_a_verb_has_open(string verb, string name, string other, bool isLetIn)
    {
        await lab.CopyAsync([name], _directory.Path);
        var file = _directory.File(name);
        await using var holder = await ImageHolder.StartAsync($"{RegistryProcess.Executable} {verb}", file);
        var words = other.Split(' ').Select(word => word.Replace("{}", file, StringComparison.Ordinal)).ToList();
        var result = await ExternalTool.Require(words[0]).RunAsync(words.Skip(1), Stop);
        Assert.True(isLetIn == (result.ExitCode == 0), result.Output + result.Error);
        Assert.True(isLetIn || IsLocked(result), result.Error);
    }

    [Theory]
    [InlineData("disk create --overwrite -f qcow2 {} 1M")]
    [InlineData("disk create --overwrite -f raw {} 1M")]
    [InlineData("disk convert --overwrite -O raw {other} {}")]
    [InlineData("disk convert -n -O qcow2 {other} {}")]
    [InlineData("disk dd --overwrite if={other} of={}")]
    [InlineData("provision IMAGE --overwrite --to {}")]
    [InlineData("provision IMAGE --overwrite --format qcow2 --to {}")]
    [InlineData("provision IMAGE --overwrite --thin --cache CACHE --to {}")]
    [InlineData("pull IMAGE --overwrite --to {}")]
    public async Task The_disk_of_a_machine_that_runs_is_not_overwritten(string line)
    {
        await lab.CopyAsync(["base.qcow2"], _directory.Path);
        var file = _directory.File("base.qcow2");
        var before = await File.ReadAllBytesAsync(file, Stop);
        var id = await app.UploadAsync(new byte[1 << 20]);
        await using var holder = await ImageHolder.StartAsync("qemu-io -f qcow2 {}", file);
        var words = line.Replace("{}", file, StringComparison.Ordinal).Replace("IMAGE", id, StringComparison.Ordinal)
            .Replace("CACHE", _directory.File("cache"), StringComparison.Ordinal)
            .Replace("{other}", lab.Home + "/other.qcow2", StringComparison.Ordinal).Split(' ');
        var result = await RegistryCommandLine.RunAsync(
            line.StartsWith("disk", StringComparison.Ordinal) ? words : [.. words, "--url", app.Url.ToString()]);
        Assert.Equal(1, result.ExitCode);
        Assert.True(IsLocked(result), result.Error);
        Assert.Equal(before, await File.ReadAllBytesAsync(file, Stop));
    }

    [Fact]
    public async Task Of_two_that_change_an_image_one_is_let_in()
    {
        await lab.CopyAsync(["base.qcow2"], _directory.Path);
        await using var first = FileBytes.OpenWrite(_directory.File("base.qcow2"), isShared: true);
        await using var second = FileBytes.OpenWrite(_directory.File("base.qcow2"), isShared: true);
        first.Claim(ImageUse.Write);
        Assert.Contains("lock", Assert.Throws<FileInUseException>(() => second.Claim(ImageUse.Write)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_is_refused_is_told_how_to_read_all_the_same()
    {
        await lab.CopyAsync(["base.qcow2"], _directory.Path);
        var file = _directory.File("base.qcow2");
        await using var holder = await ImageHolder.StartAsync("qemu-io -f qcow2 {}", file);
        var refused = await RegistryCommandLine.RunAsync("disk", "info", file);
        Assert.Equal(
            $"registry: '{file}' is in use by another process: failed to get shared \"write\" lock; -U reads it nevertheless\n",
            refused.Error);
    }

    private static bool IsLocked(ToolResult result) => LockPattern().IsMatch(result.Error);

    private static IEnumerable<string> Arguments(string line, string home) => line.Split(' ').Select(
        word => NamePattern().Replace(word, match => Path.Combine(home, match.Groups["name"].Value)));

    [GeneratedRegex(@"\{(?<name>[\w.-]+)\}")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"[Ff]ailed to get (shared )?""(write|resize|consistent read)"" lock", RegexOptions.ExplicitCapture)]
    private static partial Regex LockPattern();
}
