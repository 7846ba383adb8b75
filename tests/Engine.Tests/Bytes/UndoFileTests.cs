using Registry.Engine.Bytes;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Bytes;

public sealed class UndoFileTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Any_changes_are_undone(int seed)
    {
        using var directory = new TempDirectory();
        var random = new Random(seed);
        var before = new byte[random.Next(300_000, 900_000)];
        random.NextBytes(before.AsSpan(random.Next(100_000), 150_000));
        await using var file = FileBytes.CreateNew(directory.File("file"));
        await file.SetLengthAsync(before.Length, Disk.Stop);
        for (var at = 0; at < before.Length; at += 4096)
        {
            var piece = before.AsMemory(at, Math.Min(4096, before.Length - at));
            if (piece.Span.ContainsAnyExcept((byte)0))
            {
                await file.WriteAsync(at, piece, Disk.Stop);
            }
        }

        var undo = new UndoFile(file);
        for (var change = 0; change < 200; change++)
        {
            var offset = random.Next(2 * before.Length);
            var length = random.Next(200_000);
            await (random.Next(4) switch
            {
                0 => undo.ZeroAsync(offset, length, Disk.Stop).AsTask(),
                1 when random.Next(10) == 0 => undo.SetLengthAsync(offset, Disk.Stop).AsTask(),
                _ => undo.WriteAsync(offset, Noise(random, length), Disk.Stop).AsTask(),
            });
        }

        await undo.UndoAsync();
        await undo.WriteAsync(0, Noise(random, 100_000), Disk.Stop); // dropped, as is all that follows
        await undo.ZeroAsync(0, 100_000, Disk.Stop);
        await undo.SetLengthAsync(1, Disk.Stop);
        var after = new byte[before.Length];
        Assert.Equal(before.Length, file.Length);
        await file.ReadAsync(0, after, Disk.Stop);
        Assert.Equal(before, after);
    }

    [Fact]
    public async Task More_than_is_kept_is_reported_and_not_half_undone()
    {
        using var directory = new TempDirectory();
        await using var file = FileBytes.CreateNew(directory.File("file"));
        var piece = new byte[1 << 20];
        Array.Fill(piece, (byte)7);
        for (var at = 0L; at <= UndoFile.MaxKeptBytes; at += piece.Length)
        {
            await file.WriteAsync(at, piece, Disk.Stop);
        }

        var undo = new UndoFile(file);
        await undo.ZeroAsync(0, UndoFile.MaxKeptBytes + piece.Length, Disk.Stop);
        await Assert.ThrowsAsync<IOException>(async () => await undo.UndoAsync());
    }

    [Fact]
    public async Task Nothing_is_undone_of_what_is_not_kept()
    {
        using var directory = new TempDirectory();
        await using var file = FileBytes.CreateNew(directory.File("file"));
        await file.WriteAsync(0, new byte[] { 1, 2, 3 }, Disk.Stop);
        var undo = new UndoFile(file);
        undo.Forget();
        await undo.WriteAsync(0, new byte[] { 9 }, Disk.Stop);
        await undo.UndoAsync();
        var after = new byte[3];
        await file.ReadAsync(0, after, Disk.Stop);
        Assert.Equal([9, 2, 3], after);
    }

    private static byte[] Noise(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
