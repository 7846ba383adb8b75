using System.Security.Cryptography;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Tests.Oracle;

/// <summary>Short words for what many tests do with a disk.</summary>
internal static class Disk
{
    public static CancellationToken Stop => TestContext.Current.CancellationToken;

    public static ValueTask<QcowImage> OpenQcow(IByteSource source, Limits? limits = null) =>
        QcowImage.OpenAsync(source, new DiskOpenOptions { Limits = limits ?? Limits.Strict }, Stop);

    public static async Task<List<Extent>> Map(DiskImage image, long start = 0, long? length = null)
    {
        var extents = new List<Extent>();
        await foreach (var extent in image.MapAsync(start, length ?? image.VirtualSize - start, Stop))
        {
            extents.Add(extent);
        }

        return extents;
    }

    public static async Task<List<BlockStatus>> Status(DiskImage image)
    {
        var runs = new List<BlockStatus>();
        await foreach (var run in image.StatusAsync(0, image.VirtualSize, Stop))
        {
            runs.Add(run);
        }

        return runs;
    }

    /// <summary>SHA-256 of the whole content, read by <see cref="DiskImage.ReadAsync"/>.</summary>
    public static async Task<string> Sha256ByRead(DiskImage image, int chunk = 1 << 20)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[chunk];
        for (long position = 0; position < image.VirtualSize; position += chunk)
        {
            var piece = buffer.AsMemory(0, (int)Math.Min(chunk, image.VirtualSize - position));
            await image.ReadAsync(position, piece, Stop);
            hash.AppendData(piece.Span);
        }

        return System.Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>SHA-256 of the whole content, read by <see cref="DiskReader"/> in guest order.</summary>
    public static async Task<string> Sha256ByPieces(DiskImage image, DiskReadOptions? options = null)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var zeroes = new byte[1 << 20];
        var position = 0L;
        options = (options ?? DiskReadOptions.Default) with { Order = PieceOrder.Guest, YieldZeroes = true };
        await foreach (var item in DiskReader.ReadAsync(image, options, Stop))
        {
            using var piece = item;
            Assert.Equal(position, piece.Offset);
            position += piece.Length;
            if (!piece.IsZero)
            {
                hash.AppendData(piece.Data.Span);
                continue;
            }

            for (var left = piece.Length; left > 0; left -= Math.Min(left, zeroes.Length))
            {
                hash.AppendData(zeroes.AsSpan(0, (int)Math.Min(left, zeroes.Length)));
            }
        }

        Assert.Equal(image.VirtualSize, position);
        return System.Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    public static async Task<FormatError> Refusal(Func<Task> action) =>
        (await Assert.ThrowsAsync<ImageFormatException>(action)).Error;
}
