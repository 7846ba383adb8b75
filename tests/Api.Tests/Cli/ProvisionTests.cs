using System.Text.Json;
using Registry.Api.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>registry provision and registry cache: targets, interruptions, thin disks.</summary>
public sealed class ProvisionTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_file_that_another_run_left_unfinished_is_begun_anew_and_no_leftover_remains()
    {
        var content = Content(1);
        var id = await app.UploadAsync(content);
        var target = _directory.File("disk");
        await LeftoverAsync(new ProvisionMark("another", "digest", "raw", 0, 1 << 20), Noise(3 << 20));
        await RunAsync("provision", id, "--to", target);
        Assert.Equal(content, await File.ReadAllBytesAsync(target, RegistryApp.Stop));
        Assert.Equal([target], Directory.GetFiles(_directory.Path));
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task A_run_goes_on_where_its_target_says(string format)
    {
        var content = Content(2);
        var id = await app.UploadAsync(content);
        var whole = _directory.File("whole");
        await RunAsync("provision", id, "--to", whole, "--format", format);
        var expected = await File.ReadAllBytesAsync(whole, RegistryApp.Stop);

        // What a run that was killed after its first mebibyte leaves: everything before it, and some of what follows.
        var digest = ProvisionMark.Shorten((await app.ShowAsync(id)).GetProperty("os_hash_value").GetString()!);
        byte[] left = [.. expected];
        left.AsSpan(left.Length - 300_000).Clear();
        var mark = new ProvisionMark(id, digest, format, 0, 1 << 20);
        await LeftoverAsync(mark, left);
        var report = await RunAsync("provision", id, "--to", _directory.File("disk"), "--format", format);
        Assert.Equal(1 << 20, report.GetProperty("resumed-at").GetInt64());
        Assert.Equal(expected, await File.ReadAllBytesAsync(_directory.File("disk"), RegistryApp.Stop));

        left.AsSpan(512).Fill(0xEE); // and --force trusts nothing of it
        File.Delete(_directory.File("disk"));
        await LeftoverAsync(mark, left);
        report = await RunAsync("provision", id, "--to", _directory.File("disk"), "--format", format, "--force");
        Assert.False(report.TryGetProperty("resumed-at", out _));
        Assert.Equal(expected, await File.ReadAllBytesAsync(_directory.File("disk"), RegistryApp.Stop));
    }

    [Fact]
    public async Task A_target_that_another_run_is_at_is_refused()
    {
        var id = await app.UploadAsync(Content(3));
        await using (File.Open(_directory.File(".disk.part"), FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            var refused = await InvokeAsync("provision", id, "--to", _directory.File("disk"));
            Assert.Equal(1, refused.ExitCode);
        }

        Assert.True(File.Exists(_directory.File(".disk.part")));
    }

    [Fact]
    public async Task Damage_in_the_store_ends_the_run_with_a_reason_and_without_a_disk()
    {
        var id = await app.UploadAsync(Noise(1 << 20));
        await app.FlipByteAsync(id, 700_000);
        var failed = await InvokeAsync("provision", id, "--to", _directory.File("disk"));
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains("(data_corrupt)", failed.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_directory.Path));
    }

    [Fact]
    public async Task Thin_disks_share_a_base_that_is_brought_once_even_by_many_at_once()
    {
        var qemu = ExternalTool.Require("qemu-img");
        var content = Content(4);
        var id = await app.UploadAsync(content);
        var raw = _directory.File("raw");
        await File.WriteAllBytesAsync(raw, content, RegistryApp.Stop);
        var cache = _directory.File("cache");
        var reports = await Task.WhenAll(Enumerable.Range(0, 6).Select(n => Task.Run(() => RunAsync(
            "provision", id, "--to", _directory.File($"thin{n}"), "--thin", "--cache", cache, "--size", "8M"))));
        Assert.Single(reports, report => report.GetProperty("read-from-store").GetInt64() > 0);
        for (var n = 0; n < 6; n++)
        {
            var thin = _directory.File($"thin{n}");
            await qemu.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", thin);
            await qemu.OutputAsync(RegistryApp.Stop, "compare", "-f", "qcow2", "-F", "raw", thin, raw);
            Assert.Equal(8 << 20, reports[n].GetProperty("virtual-size").GetInt64());
            Assert.InRange(new FileInfo(thin).Length, 1, 1 << 20);
        }

        var kept = Assert.Single((await RunAsync("cache", "list", "--cache", cache)).EnumerateArray());
        Assert.Equal(6, kept.GetProperty("overlays").GetInt32());
    }

    [Fact]
    public async Task A_base_is_removed_when_room_is_wanted_but_not_under_an_overlay()
    {
        var cache = _directory.File("cache");
        var (used, unused) = (await app.UploadAsync(Content(5)), await app.UploadAsync(Content(6)));
        await RunAsync("provision", used, "--to", _directory.File("thin"), "--thin", "--cache", cache);
        var warm = await InvokeAsync("cache", "warm", unused, "--cache", cache);
        Assert.Equal(Content(6), await File.ReadAllBytesAsync(warm.Output.Trim(), RegistryApp.Stop));
        var again = await RunAsync(
            "provision", unused, "--to", _directory.File("other"), "--thin", "--cache", cache);
        Assert.Equal(0, again.GetProperty("read-from-store").GetInt64());
        File.Delete(_directory.File("other"));

        var removed = Assert.Single((await RunAsync("cache", "prune", "--cache", cache)).EnumerateArray());
        Assert.Contains(unused, removed.GetProperty("path").GetString(), StringComparison.Ordinal);
        var kept = Assert.Single((await RunAsync("cache", "list", "--cache", cache)).EnumerateArray());
        Assert.Contains(used, kept.GetProperty("path").GetString(), StringComparison.Ordinal);
        File.Delete(_directory.File("thin"));
        Assert.Single((await RunAsync("cache", "prune", "--cache", cache)).EnumerateArray());
    }

    /// <summary>Leaves what an interrupted run of this user leaves.</summary>
    private Task LeftoverAsync(ProvisionMark mark, byte[] content) =>
        Leftover.WriteAsync(_directory.File(".disk.part"), mark, content);

    private async Task<JsonElement> RunAsync(params string[] arguments)
    {
        var result = await InvokeAsync([.. arguments, "--output", "json"]);
        Assert.True(result.ExitCode == 0, $"{string.Join(' ', arguments)}: {result.Error}");
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private Task<ToolResult> InvokeAsync(params string[] arguments) =>
        RegistryCommandLine.RunAsync([.. arguments, "--url", app.Url.ToString()]);

    /// <summary>3 MiB, mostly nothing.</summary>
    private static byte[] Content(int seed)
    {
        var random = new Random(seed);
        var content = new byte[3 << 20];
        foreach (var offset in new[] { 0, 900_000, 2_800_000 })
        {
            random.NextBytes(content.AsSpan(offset, 200_000));
        }

        return content;
    }

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(length).NextBytes(noise);
        return noise;
    }
}
