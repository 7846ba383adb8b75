using System.Buffers.Binary;
using System.Security.Cryptography;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Crypto;

/// <summary>A LUKS header, version 1. All integers are big-endian.</summary>
/// <remarks>
/// <code>
///   0  "LUKS" 0xBA 0xBE      104  u32 payload sector       132  salt of the key's digest, 32 bytes
///   6  u16 version, 1        108  u32 key bytes            164  u32 its iterations
///   8  cipher, 32 bytes      112  digest of the key, 20    168  UUID as text, 40 bytes
///  40  mode, 32 bytes                                      208  eight key slots of 48 bytes
///  72  hash, 32 bytes                                      592  end
/// </code>
/// </remarks>
public sealed partial record LuksHeader
{
    /// <summary>Bytes of the header, without the key material.</summary>
    public const int Size = 592;

    /// <summary>Key slots of a header.</summary>
    public const int SlotCount = 8;

    private const int DigestBytes = 20;
    private const int SaltBytes = 32;
    private const int MaxKeyBytes = 64;
    private const int MaxStripes = 10_000;

    /// <summary>The cipher's name: <c>aes</c>.</summary>
    public required string CipherName { get; init; }

    /// <summary>Mode and vector: <c>xts-plain64</c>, <c>cbc-essiv:sha256</c>.</summary>
    public required string CipherMode { get; init; }

    /// <summary>The hash of passphrases, stripes and digest: <c>sha256</c>.</summary>
    public required string HashName { get; init; }

    /// <summary>Where the encrypted data would start in a plain volume, in sectors; bounds the header in a
    /// qcow2.</summary>
    public required uint PayloadSector { get; init; }

    /// <summary>Bytes of the master key, 16 to 64.</summary>
    public required int KeyBytes { get; init; }

    /// <summary>Digest of the master key, 20 bytes.</summary>
    public required byte[] Digest { get; init; }

    /// <summary>Salt of the digest, 32 bytes.</summary>
    public required byte[] DigestSalt { get; init; }

    /// <summary>Iterations of the digest.</summary>
    public required uint DigestIterations { get; init; }

    /// <summary>The volume's id, as text.</summary>
    public required string Uuid { get; init; }

    /// <summary>The eight key slots.</summary>
    public required IReadOnlyList<LuksKeySlot> Slots { get; init; }

    /// <summary>Takes a header from its bytes.</summary>
    /// <param name="bytes">At least 592 bytes.</param>
    /// <exception cref="ImageFormatException">It is none, or a field is out of range.</exception>
    public static LuksHeader Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Size || !bytes.StartsWith((ReadOnlySpan<byte>)[0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE]))
        {
            throw Invalid("The encryption header is not a LUKS header.");
        }

        var version = BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        if (version != 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"LUKS version {version} is not supported; only 1 is.");
        }

        var keyBytes = BinaryPrimitives.ReadUInt32BigEndian(bytes[108..]);
        if (keyBytes is 0 or > MaxKeyBytes)
        {
            throw Invalid($"The encryption header has a key of {keyBytes} bytes.");
        }

        return new LuksHeader
        {
            CipherName = Text(bytes[8..40]),
            CipherMode = Text(bytes[40..72]),
            HashName = Text(bytes[72..104]),
            PayloadSector = BinaryPrimitives.ReadUInt32BigEndian(bytes[104..]),
            KeyBytes = (int)keyBytes,
            Digest = bytes[112..132].ToArray(),
            DigestSalt = bytes[132..164].ToArray(),
            DigestIterations = BinaryPrimitives.ReadUInt32BigEndian(bytes[164..]),
            Uuid = Text(bytes[168..208]),
            Slots = ParseSlots(bytes[208..Size]),
        };
    }

    /// <summary>Finds the master key by a passphrase.</summary>
    /// <param name="source">The file.</param>
    /// <param name="offset">Where the header starts in it.</param>
    /// <param name="length">Bytes of header and key material.</param>
    /// <param name="passphrase">The passphrase.</param>
    /// <param name="limits">Bounds the work.</param>
    /// <param name="cancellationToken">Cancels between key slots.</param>
    /// <returns>The cipher of the data.</returns>
    /// <exception cref="ImageFormatException">No key slot opens, or the header asks for what is not
    /// supported.</exception>
    public async ValueTask<SectorCipher> UnlockAsync(
        IByteSource source, long offset, long length, ReadOnlyMemory<byte> passphrase, Limits limits,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(limits);
        var hash = LuksHash.Parse(HashName);
        using var probe = MakeCipher(new byte[KeyBytes]); // refuses an unsupported mode before any work
        var work = 0L;
        foreach (var slot in Slots)
        {
            if (!slot.IsActive)
            {
                continue;
            }

            CheckSlot(slot, length);
            work += Work(slot.Iterations, KeyBytes, hash) + Work(DigestIterations, DigestBytes, hash);
            if (work > limits.MaxKeyIterations)
            {
                throw new ImageFormatException(
                    FormatError.BudgetExceeded,
                    $"Trying the passphrase takes more than {limits.MaxKeyIterations} hash iterations.");
            }

            var material = new byte[KeyBytes * (int)slot.Stripes];
            var padded = new byte[(material.Length + SectorCipher.SectorBytes - 1) & ~(SectorCipher.SectorBytes - 1)];
            var at = offset + (slot.MaterialSector * (long)SectorCipher.SectorBytes);
            if (await source.ReadAsync(at, padded, cancellationToken).ConfigureAwait(false) < material.Length)
            {
                throw new ImageFormatException(
                    FormatError.Truncated, "The file ends inside the encryption header's key material.", at);
            }

            if (TryOpen(slot, passphrase.Span, padded, material, hash) is { } cipher)
            {
                return cipher;
            }
        }

        throw new ImageFormatException(
            FormatError.WrongPassphrase, "The passphrase is wrong: it opens no key slot of the encrypted image.");
    }

    /// <summary>Writes the header.</summary>
    /// <param name="bytes">Receives <see cref="Size"/> bytes.</param>
    public void WriteTo(Span<byte> bytes)
    {
        bytes[..Size].Clear();
        ((ReadOnlySpan<byte>)[0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE, 0, 1]).CopyTo(bytes);
        System.Text.Encoding.ASCII.GetBytes(CipherName, bytes[8..39]);
        System.Text.Encoding.ASCII.GetBytes(CipherMode, bytes[40..71]);
        System.Text.Encoding.ASCII.GetBytes(HashName, bytes[72..103]);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[104..], PayloadSector);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[108..], (uint)KeyBytes);
        Digest.CopyTo(bytes[112..]);
        DigestSalt.CopyTo(bytes[132..]);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[164..], DigestIterations);
        System.Text.Encoding.ASCII.GetBytes(Uuid, bytes[168..207]);
        for (var i = 0; i < SlotCount; i++)
        {
            Slots[i].WriteTo(bytes[(208 + (i * LuksKeySlot.Size))..]);
        }
    }

    private static LuksKeySlot[] ParseSlots(ReadOnlySpan<byte> bytes)
    {
        var slots = new LuksKeySlot[SlotCount];
        for (var i = 0; i < SlotCount; i++)
        {
            slots[i] = LuksKeySlot.Parse(bytes[(i * LuksKeySlot.Size)..]);
        }

        return slots;
    }

    private static string Text(ReadOnlySpan<byte> bytes) => QcowHeaderExtensions.Escape(bytes);

    /// <summary>Hash iterations that deriving this many bytes takes.</summary>
    private static long Work(uint iterations, int bytes, HashAlgorithmName hash) =>
        (long)iterations * ((bytes + LuksHash.Bytes(hash) - 1) / LuksHash.Bytes(hash));

    private void CheckSlot(LuksKeySlot slot, long length)
    {
        var end = (slot.MaterialSector * (long)SectorCipher.SectorBytes) + (slot.Stripes * (long)KeyBytes);
        if (slot.Iterations is 0 or > int.MaxValue || DigestIterations is 0 or > int.MaxValue
            || slot.Stripes is 0 or > MaxStripes || end > length)
        {
            throw Invalid("A key slot of the encryption header is out of range.");
        }
    }

    private SectorCipher? TryOpen(
        LuksKeySlot slot, ReadOnlySpan<byte> passphrase, Span<byte> padded, Span<byte> material,
        HashAlgorithmName hash)
    {
        Span<byte> slotKey = stackalloc byte[KeyBytes];
        Span<byte> key = stackalloc byte[KeyBytes];
        try
        {
            Rfc2898DeriveBytes.Pbkdf2(passphrase, slot.Salt, slotKey, (int)slot.Iterations, hash);
            using (var cipher = MakeCipher(slotKey))
            {
                cipher.Decrypt(0, padded);
            }

            padded[..material.Length].CopyTo(material);
            AntiForensicSplit.Merge(material, key, hash);
            Span<byte> digest = stackalloc byte[DigestBytes];
            Rfc2898DeriveBytes.Pbkdf2(key, DigestSalt, digest, (int)DigestIterations, hash);
            return CryptographicOperations.FixedTimeEquals(digest, Digest) ? MakeCipher(key) : null;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(slotKey);
            CryptographicOperations.ZeroMemory(key);
            CryptographicOperations.ZeroMemory(padded);
            CryptographicOperations.ZeroMemory(material);
        }
    }

    private SectorCipher MakeCipher(ReadOnlySpan<byte> key)
    {
        var parts = CipherMode.Split(['-', ':']);
        SectorMode? mode = parts[0] switch
        {
            "ecb" => SectorMode.Ecb,
            "cbc" => SectorMode.Cbc,
            "xts" => SectorMode.Xts,
            "ctr" => SectorMode.Ctr,
            _ => null,
        };
        SectorVector? vector = parts.Length < 2 ? SectorVector.Plain : parts[1] switch
        {
            "plain" => SectorVector.Plain,
            "plain64" => SectorVector.Plain64,
            "essiv" => SectorVector.Essiv,
            _ => null,
        };
        var isKeyLegal = mode == SectorMode.Xts ? KeyBytes is 32 or 64 : KeyBytes is 16 or 24 or 32;
        if (CipherName != "aes" || mode is null || vector is null || !isKeyLegal
            || (parts.Length == 3) != (vector == SectorVector.Essiv) || parts.Length > 3
            || (vector == SectorVector.Essiv && parts[2] != "sha256"))
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature,
                $"The cipher {CipherName}-{CipherMode} with a key of {KeyBytes * 8} bits is not supported.");
        }

        return new SectorCipher(key, mode.Value, vector.Value, HashAlgorithmName.SHA256);
    }

    private static ImageFormatException Invalid(string message) => new(FormatError.InvalidHeader, message);
}
