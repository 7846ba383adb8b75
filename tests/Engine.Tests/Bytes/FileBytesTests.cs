using Registry.Engine.Bytes;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Bytes;

public sealed class FileBytesTests
{
    [Fact]
    public async Task Holes_are_found_and_made()
    {
        using var directory = new TempDirectory();
        await using var file = FileBytes.CreateNew(directory.File("file"));
        await file.SetLengthAsync(4 << 20, Disk.Stop);
        await file.WriteAsync(1 << 20, Filled(1 << 20), Disk.Stop);
        Assert.Equal(
            [(0L, 1L << 20, true), (1L << 20, 1L << 20, false), (2L << 20, 2L << 20, true)], await Runs(file));

        await file.ZeroAsync((1 << 20) + (256 << 10), 256 << 10, Disk.Stop);
        Assert.Equal((1 << 20) + (512 << 10), (await Runs(file))[3].Start);
        var buffer = new byte[4 << 20];
        Assert.Equal(4 << 20, await file.ReadAsync(0, buffer, Disk.Stop));
        Assert.Equal(768 << 10, buffer.Count(b => b == 7));
    }

    [Fact]
    public async Task Reading_stops_at_the_end_and_only_there()
    {
        using var directory = new TempDirectory();
        await File.WriteAllBytesAsync(directory.File("file"), Filled(1000), Disk.Stop);
        await using var file = FileBytes.OpenRead(directory.File("file"));
        Assert.Equal(1000, file.Length);
        Assert.Equal(600, await file.ReadAsync(400, new byte[5000], Disk.Stop));
        Assert.Equal(0, await file.ReadAsync(1000, new byte[10], Disk.Stop));
        Assert.Equal(0, await file.ReadAsync(1 << 20, new byte[10], Disk.Stop));
    }

    [Fact]
    public async Task Zeroing_past_the_end_grows_a_file()
    {
        using var directory = new TempDirectory();
        await using var file = FileBytes.CreateNew(directory.File("file"));
        await file.WriteAsync(0, Filled(100), Disk.Stop);
        await file.ZeroAsync(50, 1000, Disk.Stop);
        Assert.Equal(1050, file.Length);
        var buffer = new byte[1050];
        await file.ReadAsync(0, buffer, Disk.Stop);
        Assert.Equal(50, buffer.Count(b => b == 7));
    }

    [Fact]
    public async Task A_range_is_copied_between_files()
    {
        using var directory = new TempDirectory();
        await using var source = FileBytes.CreateNew(directory.File("source"));
        await using var target = FileBytes.CreateNew(directory.File("target"));
        await source.WriteAsync(10_000, Filled(300_000), Disk.Stop);
        await source.CopyToAsync(10_000, target, 77, 300_000, Disk.Stop);
        await target.FlushAsync(Disk.Stop);
        Assert.Equal(300_077, target.Length);
        var buffer = new byte[300_000];
        await target.ReadAsync(77, buffer, Disk.Stop);
        Assert.Equal(Filled(300_000), buffer);
        await Assert.ThrowsAsync<EndOfStreamException>(
            async () => await source.CopyToAsync(310_000, target, 0, 1, Disk.Stop));
    }

    [Fact]
    public void Creating_anew_refuses_what_exists()
    {
        using var directory = new TempDirectory();
        File.WriteAllBytes(directory.File("file"), [1]);
        Assert.ThrowsAny<IOException>(() => FileBytes.CreateNew(directory.File("file")));
        Assert.ThrowsAny<IOException>(() => FileBytes.OpenRead(directory.File("absent")));
        Assert.ThrowsAny<IOException>(() => FileBytes.OpenWrite(directory.File("absent")));
    }

    private static byte[] Filled(int length)
    {
        var bytes = new byte[length];
        Array.Fill(bytes, (byte)7);
        return bytes;
    }

    private static async Task<List<(long Start, long Length, bool IsHole)>> Runs(FileBytes file)
    {
        var runs = new List<(long, long, bool)>();
        for (long position = 0; position < file.Length;)
        {
            var run = await file.RunAsync(position, Disk.Stop);
            runs.Add((position, run.Length, run.IsHole));
            position += run.Length;
        }

        return runs;
    }
}
