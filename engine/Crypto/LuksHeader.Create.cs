using System.Security.Cryptography;

namespace Registry.Engine.Crypto;

/// <summary>The shape of a new LUKS header; as qemu-img makes it where nothing else is said.</summary>
public sealed record LuksOptions
{
    /// <summary>AES-256 in XTS mode, plain64, SHA-256.</summary>
    public static LuksOptions Default { get; } = new();

    /// <summary>Bytes of the master key: 16, 24 or 32; 32 or 64 for XTS.</summary>
    public int KeyBytes { get; init; } = 64;

    /// <summary>Mode and vector: <c>xts-plain64</c>, <c>cbc-essiv:sha256</c>, <c>cbc-plain64</c>...</summary>
    public string CipherMode { get; init; } = "xts-plain64";

    /// <summary><c>sha1</c>, <c>sha256</c>, <c>sha384</c> or <c>sha512</c>.</summary>
    public string HashName { get; init; } = "sha256";

    /// <summary>Hash iterations that a try of the passphrase costs, at least 1000.</summary>
    public int Iterations { get; init; } = 2_000_000;

    /// <summary>Bytes of the header and its key material, up to the payload.</summary>
    public int HeaderBytes => LuksHeader.MaterialAlignment + (LuksHeader.SlotCount * SlotBytes);

    /// <summary>Bytes from one key slot's material to the next.</summary>
    internal int SlotBytes => (MaterialBytes + LuksHeader.MaterialAlignment - 1)
        / LuksHeader.MaterialAlignment * LuksHeader.MaterialAlignment;

    /// <summary>Bytes of one key slot's material.</summary>
    internal int MaterialBytes => KeyBytes * LuksHeader.DefaultStripes;
}

/// <summary>A new LUKS header.</summary>
/// <param name="Bytes">Header and key material up to the payload: what the encryption header extension points
/// at.</param>
/// <param name="Header">The header.</param>
/// <param name="Cipher">The cipher of the data; dispose it.</param>
public sealed record NewLuksHeader(byte[] Bytes, LuksHeader Header, SectorCipher Cipher);

/// <content>Making a new header.</content>
public sealed partial record LuksHeader
{
    internal const int DefaultStripes = 4000;
    internal const int MaterialAlignment = 4096;

    /// <summary>Makes a header with a random master key, which one passphrase opens.</summary>
    /// <param name="passphrase">The passphrase.</param>
    /// <param name="options">Its shape.</param>
    /// <exception cref="Disks.ImageFormatException">The shape is not supported.</exception>
    public static NewLuksHeader Create(ReadOnlySpan<byte> passphrase, LuksOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Iterations, 1000, nameof(options));
        var hash = LuksHash.Parse(options.HashName);
        var materialBytes = options.MaterialBytes;
        var key = RandomNumberGenerator.GetBytes(options.KeyBytes);
        var slotKey = new byte[options.KeyBytes];
        try
        {
            var header = Plan(options);
            var digestIterations = (int)header.DigestIterations;
            Rfc2898DeriveBytes.Pbkdf2(key, header.DigestSalt, header.Digest, digestIterations, hash);
            var bytes = new byte[options.HeaderBytes];
            header.WriteTo(bytes);

            var material = bytes.AsSpan(MaterialAlignment, materialBytes);
            AntiForensicSplit.Split(key, material, hash);
            Rfc2898DeriveBytes.Pbkdf2(passphrase, header.Slots[0].Salt, slotKey, options.Iterations, hash);
            using (var cipher = header.MakeCipher(slotKey))
            {
                // Stripes of 24 bytes end inside a sector, which is encrypted as a whole.
                const int Sector = SectorCipher.SectorBytes;
                cipher.Encrypt(0, bytes.AsSpan(MaterialAlignment, (materialBytes + Sector - 1) / Sector * Sector));
            }

            return new NewLuksHeader(bytes, header, header.MakeCipher(key));
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
            CryptographicOperations.ZeroMemory(slotKey);
        }
    }

    private static LuksHeader Plan(LuksOptions options)
    {
        const int Sector = SectorCipher.SectorBytes;
        var slots = new LuksKeySlot[SlotCount];
        for (var i = 0; i < SlotCount; i++)
        {
            slots[i] = new LuksKeySlot(
                IsActive: i == 0,
                Iterations: i == 0 ? (uint)options.Iterations : 0,
                Salt: i == 0 ? RandomNumberGenerator.GetBytes(SaltBytes) : new byte[SaltBytes],
                MaterialSector: (uint)((MaterialAlignment + (i * options.SlotBytes)) / Sector),
                Stripes: DefaultStripes);
        }

        return new LuksHeader
        {
            CipherName = "aes",
            CipherMode = options.CipherMode,
            HashName = options.HashName,
            PayloadSector = (uint)(options.HeaderBytes / Sector),
            KeyBytes = options.KeyBytes,
            Digest = new byte[DigestBytes],
            DigestSalt = RandomNumberGenerator.GetBytes(SaltBytes),
            DigestIterations = (uint)Math.Max(1000, options.Iterations / 8),
            Uuid = Guid.NewGuid().ToString(),
            Slots = slots,
        };
    }
}
