using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Numerics;
using System.Security.Cryptography;

namespace Registry.Engine.Crypto;

/// <summary>How the blocks of a sector are chained.</summary>
public enum SectorMode
{
    /// <summary>Not at all.</summary>
    Ecb,

    /// <summary>Cipher block chaining.</summary>
    Cbc,

    /// <summary>XEX with a tweak for each block; the key is two keys.</summary>
    Xts,

    /// <summary>Counter mode; the vector is the first counter.</summary>
    Ctr,
}

/// <summary>How a sector's number becomes its initialisation vector.</summary>
public enum SectorVector
{
    /// <summary>The low 32 bits of the number, little-endian.</summary>
    Plain,

    /// <summary>The number, little-endian.</summary>
    Plain64,

    /// <summary>The number, encrypted with a hash of the key.</summary>
    Essiv,
}

/// <summary>AES over disk sectors of 512 bytes, whole runs at a time. Safe to use from several threads at
/// once.</summary>
/// <remarks>Every mode is built on the block cipher over many sectors in one call: the vectors of all sectors first,
/// then their blocks. Nothing is allocated for a sector.</remarks>
public sealed class SectorCipher : IDisposable
{
    /// <summary>Bytes of a sector.</summary>
    public const int SectorBytes = 512;

    private const int BlockBytes = 16;
    private const int BlocksPerSector = SectorBytes / BlockBytes;
    private const int ChunkSectors = 128;

    private readonly byte[] dataKey;
    private readonly byte[] vectorKey;
    private readonly SectorMode mode;
    private readonly SectorVector vector;
    private readonly ConcurrentBag<Engines> idle = [];
    private bool isDisposed;

    /// <summary>Makes a cipher.</summary>
    /// <param name="key">The key: 16, 24 or 32 bytes, twice as many for XTS. Copied.</param>
    /// <param name="mode">How blocks are chained.</param>
    /// <param name="vector">How vectors are made.</param>
    /// <param name="vectorHash">The hash of <see cref="SectorVector.Essiv"/>; not used otherwise.</param>
    /// <exception cref="ArgumentException">The key has another length, or the hash gives none that fits.</exception>
    public SectorCipher(ReadOnlySpan<byte> key, SectorMode mode, SectorVector vector, HashAlgorithmName vectorHash)
    {
        var half = mode == SectorMode.Xts ? key.Length / 2 : key.Length;
        if (half is not (16 or 24 or 32) || (mode == SectorMode.Xts && key.Length != half * 2))
        {
            throw new ArgumentException($"A key of {key.Length} bytes does not fit {mode}.", nameof(key));
        }

        this.mode = mode;
        this.vector = vector;
        dataKey = key[..half].ToArray();
        vectorKey = [];
        if (vector == SectorVector.Essiv)
        {
            vectorKey = CryptographicOperations.HashData(vectorHash, key);
            if (vectorKey.Length is not (16 or 24 or 32))
            {
                throw new ArgumentException($"{vectorHash.Name} gives no key for ESSIV.", nameof(vectorHash));
            }
        }

        TweakKey = mode == SectorMode.Xts ? key[half..].ToArray() : [];
    }

    private byte[] TweakKey { get; }

    /// <summary>Decrypts whole sectors in place.</summary>
    /// <param name="sector">Number of the first one.</param>
    /// <param name="data">A multiple of 512 bytes.</param>
    public void Decrypt(long sector, Span<byte> data) => Run(sector, data, isEncrypting: false);

    /// <summary>Encrypts whole sectors in place.</summary>
    /// <param name="sector">Number of the first one.</param>
    /// <param name="data">A multiple of 512 bytes.</param>
    public void Encrypt(long sector, Span<byte> data) => Run(sector, data, isEncrypting: true);

    /// <inheritdoc/>
    public void Dispose()
    {
        isDisposed = true;
        while (idle.TryTake(out var engines))
        {
            engines.Dispose();
        }

        CryptographicOperations.ZeroMemory(dataKey);
        CryptographicOperations.ZeroMemory(vectorKey);
        CryptographicOperations.ZeroMemory(TweakKey);
    }

    private void Run(long sector, Span<byte> data, bool isEncrypting)
    {
        if (data.Length % SectorBytes != 0)
        {
            throw new ArgumentException("Only whole sectors can be encrypted.", nameof(data));
        }

        ObjectDisposedException.ThrowIf(isDisposed, this);
        if (!idle.TryTake(out var engines))
        {
            engines = new Engines(dataKey, vectorKey, TweakKey);
        }

        var scratch = ArrayPool<byte>.Shared.Rent(ChunkSectors * SectorBytes);
        try
        {
            while (!data.IsEmpty)
            {
                var chunk = data[..Math.Min(data.Length, ChunkSectors * SectorBytes)];
                RunChunk(engines, sector, chunk, scratch.AsSpan(0, chunk.Length), isEncrypting);
                sector += chunk.Length / SectorBytes;
                data = data[chunk.Length..];
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch, clearArray: true);
            idle.Add(engines);
        }
    }

    private void RunChunk(Engines engines, long sector, Span<byte> data, Span<byte> scratch, bool isEncrypting)
    {
        Span<byte> vectors = stackalloc byte[ChunkSectors * BlockBytes];
        vectors = vectors[..(data.Length / BlocksPerSector)];
        if (mode != SectorMode.Ecb)
        {
            FillVectors(engines, sector, vectors);
        }

        switch (mode)
        {
            case SectorMode.Ecb:
                Code(engines.Data, data, isEncrypting);
                break;
            case SectorMode.Xts:
                engines.Tweak!.EncryptEcb(vectors, vectors, PaddingMode.None);
                SpreadTweaks(vectors, scratch);
                Xor(data, scratch);
                Code(engines.Data, data, isEncrypting);
                Xor(data, scratch);
                break;
            case SectorMode.Ctr:
                SpreadCounters(vectors, scratch);
                engines.Data.EncryptEcb(scratch, scratch, PaddingMode.None);
                Xor(data, scratch);
                break;
            default:
                if (isEncrypting)
                {
                    EncryptChained(engines.Data, vectors, data);
                }
                else
                {
                    DecryptChained(engines.Data, vectors, data, scratch);
                }

                break;
        }
    }

    private static void Code(Aes cipher, Span<byte> data, bool isEncrypting)
    {
        if (isEncrypting)
        {
            cipher.EncryptEcb(data, data, PaddingMode.None);
        }
        else
        {
            cipher.DecryptEcb(data, data, PaddingMode.None);
        }
    }

    private void FillVectors(Engines engines, long sector, Span<byte> vectors)
    {
        vectors.Clear();
        for (var i = 0; i < vectors.Length; i += BlockBytes)
        {
            if (vector == SectorVector.Plain)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(vectors[i..], (uint)sector);
            }
            else
            {
                BinaryPrimitives.WriteInt64LittleEndian(vectors[i..], sector);
            }

            sector++;
        }

        if (vector == SectorVector.Essiv)
        {
            engines.Vector!.EncryptEcb(vectors, vectors, PaddingMode.None);
        }
    }

    /// <summary>The tweaks of all blocks: each is the one before, times x in GF(2^128).</summary>
    private static void SpreadTweaks(ReadOnlySpan<byte> first, Span<byte> tweaks)
    {
        for (var sector = 0; sector < first.Length / BlockBytes; sector++)
        {
            var low = BinaryPrimitives.ReadUInt64LittleEndian(first[(sector * BlockBytes)..]);
            var high = BinaryPrimitives.ReadUInt64LittleEndian(first[((sector * BlockBytes) + 8)..]);
            var target = tweaks.Slice(sector * SectorBytes, SectorBytes);
            for (var at = 0; at < SectorBytes; at += BlockBytes)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(target[at..], low);
                BinaryPrimitives.WriteUInt64LittleEndian(target[(at + 8)..], high);
                var carry = (ulong)((long)high >> 63) & 0x87;
                high = (high << 1) | (low >> 63);
                low = (low << 1) ^ carry;
            }
        }
    }

    private static void SpreadCounters(ReadOnlySpan<byte> first, Span<byte> counters)
    {
        for (var sector = 0; sector < first.Length / BlockBytes; sector++)
        {
            var counter = BinaryPrimitives.ReadUInt128BigEndian(first[(sector * BlockBytes)..]);
            for (var block = 0; block < BlocksPerSector; block++)
            {
                var at = (sector * SectorBytes) + (block * BlockBytes);
                BinaryPrimitives.WriteUInt128BigEndian(counters[at..], counter);
                counter++;
            }
        }
    }

    /// <summary>Every block at once, then each with the ciphertext before it.</summary>
    private static void DecryptChained(Aes cipher, ReadOnlySpan<byte> vectors, Span<byte> data, Span<byte> before)
    {
        data[..^BlockBytes].CopyTo(before[BlockBytes..]);
        for (var sector = 0; sector < data.Length / SectorBytes; sector++)
        {
            vectors.Slice(sector * BlockBytes, BlockBytes).CopyTo(before[(sector * SectorBytes)..]);
        }

        cipher.DecryptEcb(data, data, PaddingMode.None);
        Xor(data, before);
    }

    /// <summary>A chain can only be made block by block; the blocks of all sectors at one place go together.</summary>
    private static void EncryptChained(Aes cipher, Span<byte> chain, Span<byte> data)
    {
        for (var at = 0; at < SectorBytes; at += BlockBytes)
        {
            for (var sector = 0; sector < chain.Length / BlockBytes; sector++)
            {
                Xor(
                    chain.Slice(sector * BlockBytes, BlockBytes),
                    data.Slice((sector * SectorBytes) + at, BlockBytes));
            }

            cipher.EncryptEcb(chain, chain, PaddingMode.None);
            for (var sector = 0; sector < chain.Length / BlockBytes; sector++)
            {
                chain.Slice(sector * BlockBytes, BlockBytes).CopyTo(data[((sector * SectorBytes) + at)..]);
            }
        }
    }

    /// <summary>Both are multiples of 16 bytes.</summary>
    private static void Xor(Span<byte> target, ReadOnlySpan<byte> other)
    {
        var vectorsOfTarget = MemoryMarshal.Cast<byte, Vector<byte>>(target);
        var vectorsOfOther = MemoryMarshal.Cast<byte, Vector<byte>>(other);
        for (var i = 0; i < vectorsOfTarget.Length; i++)
        {
            vectorsOfTarget[i] ^= vectorsOfOther[i];
        }

        for (var i = vectorsOfTarget.Length * Vector<byte>.Count; i < target.Length; i++)
        {
            target[i] ^= other[i];
        }
    }

    /// <summary>One thread's block ciphers.</summary>
    private sealed class Engines : IDisposable
    {
        public Engines(byte[] dataKey, byte[] vectorKey, byte[] tweakKey)
        {
            Data = Make(dataKey);
            Vector = vectorKey.Length == 0 ? null : Make(vectorKey);
            Tweak = tweakKey.Length == 0 ? null : Make(tweakKey);
        }

        public Aes Data { get; }

        public Aes? Vector { get; }

        public Aes? Tweak { get; }

        public void Dispose()
        {
            Data.Dispose();
            Vector?.Dispose();
            Tweak?.Dispose();
        }

        private static Aes Make(byte[] key)
        {
            var cipher = Aes.Create();
            cipher.Key = key;
            return cipher;
        }
    }
}
