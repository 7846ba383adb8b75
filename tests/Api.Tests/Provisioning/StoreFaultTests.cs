using Registry.Api.Tests.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>What a disk becomes while the store answers wrongly.</summary>
public sealed class StoreFaultTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly FakeS3 _s3 = new();
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        _app = new RegistryApp { Settings = SharedS3.Settings(0, "s3", _s3.Endpoint, "bucket") };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _s3.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(S3Fault.SlowDown, 3, true)]
    [InlineData(S3Fault.Truncated, 2, true)]
    [InlineData(S3Fault.BitFlip, 1, true)]
    [InlineData(S3Fault.BitFlip, 1000, false)]
    public async Task A_fault_that_passes_is_not_seen_and_one_that_stays_is_told(S3Fault fault, int count, bool passes)
    {
        var content = new byte[5 << 20];
        new Random(1).NextBytes(content.AsSpan(0, 3 << 20));
        var id = await _app.UploadAsync(content);
        _s3.Spoil("GET", "data.0", fault, count);
        var target = _directory.File("disk");
        var result = await RegistryCommandLine.RunAsync(
            "provision", id, "--to", target, "--retry", "2", "--url", _app.Url.ToString());
        if (passes)
        {
            Assert.True(result.ExitCode == 0, result.Error);
            Assert.Equal(content, await File.ReadAllBytesAsync(target, RegistryApp.Stop));
        }
        else
        {
            Assert.Equal(1, result.ExitCode);
            Assert.Contains("(data_corrupt)", result.Error, StringComparison.Ordinal);
            Assert.Empty(Directory.GetFiles(_directory.Path));
        }
    }
}
