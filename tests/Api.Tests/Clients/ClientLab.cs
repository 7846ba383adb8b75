using Registry.Api.Tests.Clients;
using Registry.Support;
using Xunit;

[assembly: AssemblyFixture(typeof(ClientLab))]

namespace Registry.Api.Tests.Clients;

/// <summary>A running registry and a few files to upload, for all client tests.</summary>
public sealed class ClientLab : IAsyncLifetime
{
    private const int FileBytes = 3 << 20;
    private readonly TempDirectory _directory = new();
    private readonly SemaphoreSlim _oneStart = new(1);
    private RegistryProcess? _registry;
    private OpenStackClients? _clients;

    /// <summary>What words in braces stand for: files, and a project.</summary>
    public IReadOnlyDictionary<string, string> Words => new Dictionary<string, string>
    {
        ["raw"] = _directory.File("disk.raw"),
        ["qcow2"] = _directory.File("disk.qcow2"),
        ["copy"] = _directory.File($"copy-{Guid.NewGuid():N}"),
        ["project"] = Guid.NewGuid().ToString("N"),
        ["name"] = $"image-{Guid.NewGuid():N}",
        ["uuid"] = Guid.NewGuid().ToString(),
    };

    /// <summary>The registry; started by the first test that needs it.</summary>
    public async Task<RegistryProcess> RegistryAsync()
    {
        await _oneStart.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            return _registry ??= await RegistryProcess.StartAsync(
                Directory.CreateDirectory(_directory.File("data")).FullName, TestContext.Current.CancellationToken);
        }
        finally
        {
            _oneStart.Release();
        }
    }

    /// <summary>The clients; started by the first test that needs them.</summary>
    public async Task<OpenStackClients> ClientsAsync()
    {
        await _oneStart.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            return _clients ??= await OpenStackClients.StartAsync(TestContext.Current.CancellationToken);
        }
        finally
        {
            _oneStart.Release();
        }
    }

    /// <summary>A home directory for one client.</summary>
    public string NewHome() => Directory.CreateDirectory(_directory.File($"home-{Guid.NewGuid():N}")).FullName;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        var disk = new byte[FileBytes];
        new Random(2).NextBytes(disk.AsSpan(0, FileBytes / 2));
        await File.WriteAllBytesAsync(_directory.File("disk.raw"), disk);
        if (ExternalTool.Find("qemu-img") is not null)
        {
            await ExternalTool.Require("qemu-img").OutputAsync(
                CancellationToken.None,
                "convert", "-f", "raw", "-O", "qcow2", _directory.File("disk.raw"), _directory.File("disk.qcow2"));
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_clients is not null)
        {
            await _clients.DisposeAsync();
        }

        if (_registry is not null)
        {
            await _registry.StopAsync();
            await _registry.DisposeAsync();
        }

        _oneStart.Dispose();
        _directory.Dispose();
    }
}
