using System.Security.Cryptography;
using System.Text.Json;
using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>What a base of thin disks was when it was complete: its length, inode and time of change, and the SHA-256 of
/// each of its blocks.</summary>
/// <remarks>A file beside the base: a line of JSON, then 32 bytes for each block. The first three show at no cost that a
/// base was changed or replaced; the digests show what of it.</remarks>
/// <param name="Length">Bytes of the base.</param>
/// <param name="Identity">Device and inode.</param>
/// <param name="ModifiedNanoseconds">When its content was last changed, in nanoseconds since 1970.</param>
internal sealed record BaseRecord(long Length, string Identity, long ModifiedNanoseconds)
{
    /// <summary>What the record's name adds to the base's.</summary>
    public const string Suffix = ".digests";

    private const int BlockBytes = 1 << 20;
    private const int HeadBytes = 512;
    private static readonly byte[] ZeroDigest = SHA256.HashData(new byte[BlockBytes]);

    private byte[] _digests = [];

    /// <summary>Reads a base, and makes its record.</summary>
    public static async Task<BaseRecord> OfAsync(FileBytes file, CancellationToken cancellationToken)
    {
        var status = file.Status();
        return new BaseRecord(status.Length, status.Identity, status.ModifiedNanoseconds)
        {
            _digests = await DigestsAsync(file, cancellationToken),
        };
    }

    /// <summary>Reads the record of a base.</summary>
    /// <returns>Null where there is none that is complete.</returns>
    /// <exception cref="IOException">The file may have been written by another user.</exception>
    public static async Task<BaseRecord?> LoadAsync(
        HostDirectory home, string name, CancellationToken cancellationToken)
    {
        await using var file = home.ReadOwn(name + Suffix);
        if (file is null)
        {
            return null;
        }

        var bytes = new byte[file.Length];
        var read = await file.ReadAsync(0, bytes, cancellationToken);
        if (read < HeadBytes || read != bytes.Length)
        {
            return null;
        }

        try
        {
            var record = JsonSerializer.Deserialize<BaseRecord>(bytes.AsSpan(0, HeadBytes).TrimEnd((byte)0));
            return record is not null && bytes.Length - HeadBytes == Blocks(record.Length) * SHA256.HashSizeInBytes
                ? record with { _digests = bytes[HeadBytes..] }
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Writes the record, so that it survives a power cut.</summary>
    public async Task SaveAsync(HostDirectory home, string name, CancellationToken cancellationToken)
    {
        var head = new byte[HeadBytes];
        JsonSerializer.SerializeToUtf8Bytes(this).CopyTo(head, 0);
        var partial = $".{name}{Suffix}.part";
        home.Remove(partial); // of a run that was killed: the base's lock is held
        await using var file = home.CreateNew(partial);
        await file.WriteAsync(0, head, cancellationToken);
        await file.WriteAsync(HeadBytes, _digests, cancellationToken);
        await file.FlushAsync(cancellationToken);
        home.Rename(partial, name + Suffix, replaces: true);
        home.Flush();
    }

    /// <summary>Whether a file has the length, inode and time of change that were recorded.</summary>
    public bool Fits(FileStatus status) =>
        (status.Length, status.Identity, status.ModifiedNanoseconds) == (Length, Identity, ModifiedNanoseconds);

    /// <summary>Reads all of a base and counts the blocks that are not what they were.</summary>
    /// <returns>Blocks of 1 MiB; all of them where the length is another.</returns>
    public async Task<long> DamagedBlocksAsync(FileBytes file, CancellationToken cancellationToken)
    {
        var now = await DigestsAsync(file, cancellationToken);
        if (file.Status().Length != Length || now.Length != _digests.Length)
        {
            return Blocks(Length);
        }

        var damaged = 0L;
        for (var at = 0; at < now.Length; at += SHA256.HashSizeInBytes)
        {
            var isSame = now.AsSpan(at, SHA256.HashSizeInBytes)
                .SequenceEqual(_digests.AsSpan(at, SHA256.HashSizeInBytes));
            damaged += isSame ? 0 : 1;
        }

        return damaged;
    }

    /// <summary>The same record for a file that has been found to hold the same.</summary>
    public BaseRecord For(FileStatus status) =>
        this with { Identity = status.Identity, ModifiedNanoseconds = status.ModifiedNanoseconds };

    private static long Blocks(long length) => (length + BlockBytes - 1) / BlockBytes;

    private static async Task<byte[]> DigestsAsync(FileBytes file, CancellationToken cancellationToken)
    {
        var digests = new byte[Blocks(file.Length) * SHA256.HashSizeInBytes];
        var buffer = new byte[BlockBytes];
        for (var at = 0L; at < file.Length; at += BlockBytes)
        {
            var block = buffer.AsMemory(0, (int)Math.Min(BlockBytes, file.Length - at));
            var digest = digests.AsMemory((int)(at / BlockBytes * SHA256.HashSizeInBytes), SHA256.HashSizeInBytes);
            var run = await file.RunAsync(at, cancellationToken);
            if (run is { IsHole: true } && run.Length >= BlockBytes)
            {
                ZeroDigest.CopyTo(digest);
                continue;
            }

            if (await file.ReadAsync(at, block, cancellationToken) < block.Length)
            {
                throw new EndOfStreamException($"'{file.Path}' became shorter while it was read");
            }

            SHA256.HashData(block.Span, digest.Span);
        }

        return digests;
    }
}
