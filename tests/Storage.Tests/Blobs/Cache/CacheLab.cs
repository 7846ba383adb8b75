using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Cache;
using Registry.Storage.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs.Cache;

/// <summary>A cache in a directory of its own, and readers that see to it that what they read is right.</summary>
internal sealed class CacheLab : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly long _maxBytes;

    /// <summary>Opens a cache.</summary>
    /// <param name="maxBytes">Most bytes it keeps.</param>
    /// <param name="directory">Its directory; null for one of the lab's.</param>
    public CacheLab(long maxBytes = 64 << 20, string? directory = null)
    {
        _maxBytes = maxBytes;
        Directory = directory ?? _directory.File("cache");
        Cache = Open();
    }

    public string Directory { get; }

    public FakeTimeProvider Time { get; } = new(DateTimeOffset.UtcNow);

    public BlockCache Cache { get; private set; }

    /// <summary>The files of blocks, by name.</summary>
    public string[] Files => [.. System.IO.Directory.GetFiles(Path.Combine(Directory, "blocks")).Order()];

    /// <summary>Bytes that files of the cache take on the disk.</summary>
    public long DiskBytes => Files.Sum(file =>
        long.Parse(Shell.Run("stat", "-c", "%b", file), System.Globalization.CultureInfo.InvariantCulture) * 512);

    /// <summary>Ends the cache's process, so to speak, and starts another.</summary>
    public void Restart()
    {
        Cache.Dispose();
        Cache = Open();
    }

    /// <summary>Opens a blob through the cache.</summary>
    public async Task<VerifiedBlob> OpenAsync(IBlobStore store, ImageLocation location) =>
        await VerifiedBlob.OpenAsync(store, location, Cache, TestContext.Current.CancellationToken);

    /// <summary>Opens a blob, reads all of it as a download does, and compares.</summary>
    public async Task ReadAllAsync(MemoryStore store, ImageLocation location, byte[] expected, int chunk = 512 << 10)
    {
        var blob = await OpenAsync(store, location);
        var buffer = new byte[chunk];
        for (var at = 0; at < expected.Length;)
        {
            Array.Fill(buffer, (byte)0xEE);
            var read = await blob.ReadAsync(at, buffer, TestContext.Current.CancellationToken);
            Assert.True(expected.AsSpan(at, Math.Min(chunk, expected.Length - at)).SequenceEqual(buffer.AsSpan(0, read)));
            at += read;
        }
    }

    /// <summary>Bytes of data that the store was asked for.</summary>
    public static long Asked(MemoryStore store, BlobPart part = BlobPart.Data) =>
        store.Reads.Where(read => read.Part == part).Sum(read => (long)read.Length);

    /// <summary>Bytes that are hardly ever zero.</summary>
    public static byte[] Noise(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Flips a bit of a file.</summary>
    public static void Flip(string file, long offset)
    {
        using var stream = File.Open(file, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        stream.Position = offset;
        var value = stream.ReadByte();
        stream.Position = offset;
        stream.WriteByte((byte)(value ^ 1));
    }

    public void Dispose()
    {
        Cache.Dispose();
        _directory.Dispose();
    }

    private BlockCache Open() => new(Directory, _maxBytes, Time, NullLogger<BlockCache>.Instance);
}
