using System.Security.Cryptography;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>The content of an object that is written: kept in memory until the store has it, so that it can be sent
/// again and compared with what the store has.</summary>
internal abstract class S3Body
{
    private byte[]? _md5;

    /// <summary>Bytes in it.</summary>
    public abstract int Length { get; }

    /// <summary>Makes the body of one request, which reports its progress to the attempt.</summary>
    public abstract HttpContent ToContent(StoreAttempt attempt);

    /// <summary>Returns the bytes from an offset on, as many as lie together in memory.</summary>
    /// <param name="offset">0 to <see cref="Length"/> exclusive.</param>
    public abstract ReadOnlyMemory<byte> PieceAt(int offset);

    /// <summary>The MD5 of all bytes, 16 bytes; calculated once.</summary>
    public byte[] Md5() => _md5 ??= ComputeMd5();

    private byte[] ComputeMd5()
    {
        using var md5 = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        for (var offset = 0; offset < Length;)
        {
            var piece = PieceAt(offset);
            md5.AppendData(piece.Span);
            offset += piece.Length;
        }

        return md5.GetHashAndReset();
    }
}

/// <summary>A small object.</summary>
internal sealed class S3SmallBody(byte[] bytes) : S3Body
{
    public override int Length => bytes.Length;

    public override HttpContent ToContent(StoreAttempt attempt) => new ByteArrayContent(bytes);

    public override ReadOnlyMemory<byte> PieceAt(int offset) => bytes.AsMemory(offset);
}
