using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Registry.Engine.Crypto;

/// <summary>Splits a key into stripes that are all needed to get it back, so that wiping any of them wipes the
/// key.</summary>
internal static class AntiForensicSplit
{
    /// <summary>Puts a key together.</summary>
    /// <param name="stripes">The stripes, one after the other.</param>
    /// <param name="key">Receives the key; its length is a stripe's.</param>
    /// <param name="hash">The hash between the stripes.</param>
    public static void Merge(ReadOnlySpan<byte> stripes, Span<byte> key, HashAlgorithmName hash)
    {
        key.Clear();
        for (; stripes.Length > key.Length; stripes = stripes[key.Length..])
        {
            Xor(key, stripes);
            Diffuse(key, hash);
        }

        Xor(key, stripes);
    }

    /// <summary>Splits a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="stripes">Receives the stripes: a multiple of the key's length.</param>
    /// <param name="hash">The hash between the stripes.</param>
    public static void Split(ReadOnlySpan<byte> key, Span<byte> stripes, HashAlgorithmName hash)
    {
        var random = stripes[..^key.Length];
        RandomNumberGenerator.Fill(random);
        var last = stripes[random.Length..];
        last.Clear();
        for (; !random.IsEmpty; random = random[key.Length..])
        {
            Xor(last, random);
            Diffuse(last, hash);
        }

        Xor(last, key);
    }

    private static void Xor(Span<byte> target, ReadOnlySpan<byte> other)
    {
        for (var i = 0; i < target.Length; i++)
        {
            target[i] ^= other[i];
        }
    }

    /// <summary>Replaces every digest's length of the block by the digest of its number and itself.</summary>
    private static void Diffuse(Span<byte> block, HashAlgorithmName hash)
    {
        Span<byte> digest = stackalloc byte[64];
        Span<byte> input = stackalloc byte[4 + 64];
        var size = LuksHash.Bytes(hash);
        for (var (number, at) = (0, 0); at < block.Length; number++, at += size)
        {
            var part = block[at..Math.Min(at + size, block.Length)];
            BinaryPrimitives.WriteInt32BigEndian(input, number);
            part.CopyTo(input[4..]);
            CryptographicOperations.HashData(hash, input[..(4 + part.Length)], digest);
            digest[..part.Length].CopyTo(part);
        }
    }
}
