using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>What the verbs on local disks print is what qemu-img prints, byte for byte.</summary>
public sealed class DiskCommandTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _registry = ExternalTool.Require(RegistryProcess.Executable);
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Chains_snapshots_and_encryption_are_described_as_by_qemu_img()
    {
        await MakeAsync();
        foreach (var name in new[] { "base.raw", "middle.qcow2", "top.qcow2", "luks.qcow2", "aes.qcow2", "data.qcow2" })
        {
            foreach (var verb in new[]
            {
                "info", "info -U --output=json", "info --backing-chain", "info --backing-chain --output=json",
            })
            {
                await ExpectSameAsync([.. verb.Split(' '), _directory.File(name)]);
            }
        }

        foreach (var name in new[] { "base.raw", "middle.qcow2", "top.qcow2", "data.qcow2" })
        {
            foreach (var verb in new[] { "map", "map --output=json", "map --output=json -s 70000 -l 100k" })
            {
                await ExpectSameAsync([.. verb.Split(' '), _directory.File(name)]);
            }
        }

        await ExpectSameAsync(["snapshot", "-l", _directory.File("top.qcow2")]);
    }

    [Fact]
    public async Task A_snapshot_and_an_encrypted_disk_are_converted()
    {
        await MakeAsync();
        var top = _directory.File("top.qcow2");
        await QemuAsync("convert", "-l", "one", "-O", "raw", top, _directory.File("theirs"));
        await _registry.OutputAsync(
            Stop, "disk", "convert", "-l", "snapshot.name=one", "-O", "raw", top, _directory.File("ours"));
        await QemuAsync("compare", "-f", "raw", "-F", "raw", _directory.File("theirs"), _directory.File("ours"));

        var key = _directory.File("key");
        await File.WriteAllTextAsync(key, "sesame\n", Stop);
        await _registry.OutputAsync(
            Stop, "disk", "convert", "--passphrase-file", key, "-O", "raw", _directory.File("luks.qcow2"),
            _directory.File("plain"));
        Assert.Equal(new byte[1 << 20], await File.ReadAllBytesAsync(_directory.File("plain"), Stop));

        await File.WriteAllTextAsync(key, "Sesame", Stop);
        var refused = await _registry.RunAsync(
            ["disk", "convert", "--passphrase-file", key, _directory.File("luks.qcow2"), _directory.File("none")], Stop);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("passphrase is wrong", refused.Error, StringComparison.Ordinal);
    }

    private async Task MakeAsync()
    {
        await File.WriteAllBytesAsync(_directory.File("base.raw"), new byte[700_000], Stop);
        await QemuAsync(
            "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", _directory.File("middle.qcow2"), "1M");
        await QemuAsync("bitmap", "--add", _directory.File("middle.qcow2"), "since");
        await QemuAsync(
            "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", _directory.File("top.qcow2"), "2M");
        await QemuAsync("snapshot", "-c", "one", _directory.File("top.qcow2"));
        string[] secret = ["--object", "secret,id=s,data=sesame"];
        await QemuAsync([
            "create", "-q", "-f", "qcow2", .. secret, "-o",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=50", _directory.File("luks.qcow2"), "1M"]);
        await QemuAsync([
            "create", "-q", "-f", "qcow2", .. secret, "-o", "encrypt.format=aes,encrypt.key-secret=s",
            _directory.File("aes.qcow2"), "1M"]);
        await QemuAsync(
            "create", "-q", "-f", "qcow2", "-o", $"data_file={_directory.File("data.raw")},data_file_raw=on",
            _directory.File("data.qcow2"), "1M");
    }

    private Task<string> QemuAsync(params string[] arguments) => _qemuImg.OutputAsync(Stop, arguments);

    private async Task ExpectSameAsync(string[] arguments) =>
        Assert.Equal(await QemuAsync(arguments), await _registry.OutputAsync(Stop, ["disk", .. arguments]));
}
