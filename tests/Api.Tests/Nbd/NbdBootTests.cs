using System.Text;
using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Nbd;

/// <summary>A machine that starts from an image in S3, before the image is there.</summary>
public sealed class NbdBootTests(SharedS3 s3) : IAsyncLifetime
{
    private const int DiskBytes = 48 << 20;
    private const string Greeting = "started from an export";
    private static readonly TimeSpan BootLimit = TimeSpan.FromMinutes(2);
    private readonly TempDirectory _directory = new();
    private TcpGate _gate = null!;
    private NbdApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        _gate = new TcpGate(server.Endpoint);
        _app = new NbdApp { Settings = SharedS3.Settings(0, "s3", _gate.Address, server.NewBucket()) };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _gate.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task Qemu_runs_its_boot_sector_before_a_tenth_was_read(string format)
    {
        var qemu = ExternalTool.Require("qemu-system-x86_64");
        var disk = new byte[DiskBytes];
        new Random(8).NextBytes(disk);
        BootSector().CopyTo(disk, 0);
        var image = _directory.File("raw");
        await File.WriteAllBytesAsync(image, disk, RegistryApp.Stop);
        if (format != "raw")
        {
            await ExternalTool.Require("qemu-img").OutputAsync(
                RegistryApp.Stop, "convert", "-f", "raw", "-O", format, image, _directory.File(format));
        }

        var id = await _app.UploadFileAsync(_directory.File(format), format);
        var before = _gate.BytesReceived;
        var serial = _directory.File("serial");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        var machine = qemu.RunAsync(
            [
                "-accel", "tcg", "-m", "64", "-display", "none", "-nodefaults", "-no-user-config", "-monitor", "none",
                "-serial", $"file:{serial}", "-drive", $"file={_app.Export(id)}+overlay,format=raw,if=ide",
            ],
            stop.Token,
            timeout: BootLimit);
        while (!machine.IsCompleted && !await SaysAsync(serial))
        {
            await Task.Delay(50, RegistryApp.Stop);
        }

        Assert.True(await SaysAsync(serial), machine.IsCompleted ? (await machine).Error : "It says something else.");
        Assert.InRange(_gate.BytesReceived - before, 512, DiskBytes / 10);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => machine);
    }

    private static async Task<bool> SaysAsync(string serial) =>
        File.Exists(serial) && (await File.ReadAllTextAsync(serial)).Contains(Greeting, StringComparison.Ordinal);

    /// <summary>What the firmware of a PC loads and runs: it writes the greeting to the first serial port.</summary>
    private static byte[] BootSector()
    {
        byte[] code =
        [
            0x31, 0xC0,       // xor ax, ax
            0x8E, 0xD8,       // mov ds, ax
            0xBE, 0x15, 0x7C, // mov si, 0x7C15: the greeting
            0xAC,             // lodsb
            0x08, 0xC0,       // or al, al
            0x74, 0x06,       // jz the end
            0xBA, 0xF8, 0x03, // mov dx, 0x3F8
            0xEE,             // out dx, al
            0xEB, 0xF5,       // jmp lodsb
            0xF4,             // hlt
            0xEB, 0xFD,       // jmp hlt
        ];
        var sector = new byte[512];
        code.CopyTo(sector, 0);
        Encoding.ASCII.GetBytes(Greeting).CopyTo(sector, code.Length);
        (sector[510], sector[511]) = (0x55, 0xAA);
        return sector;
    }
}
