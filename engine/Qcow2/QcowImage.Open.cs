using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Raw;

namespace Registry.Engine.Qcow2;

/// <content>Opening: the image itself, its data file and key, then its backing chain.</content>
public sealed partial class QcowImage
{
    // The table is up to 32 MiB, and read in pieces: memory for it is needed once and not twice.
    private const int L1ReadEntries = 64 << 10;

    private const int HeadBytes = 64 << 10;

    /// <summary>Opens an image: reads and judges header, extensions and L1 table, and opens what it refers
    /// to.</summary>
    /// <param name="source">The file's bytes; stays the caller's.</param>
    /// <param name="options">What it may refer to, the caps, and what is wanted of it.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">Malformed, unsupported or refused; the reason is named.</exception>
    /// <exception cref="IOException">The source, or what it refers to, could not be read.</exception>
    public static async ValueTask<QcowImage> OpenAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        var image = await OpenOneAsync(source, options, cancellationToken).ConfigureAwait(false);
        try
        {
            await image.OpenChainAsync(options, cancellationToken).ConfigureAwait(false);
            return image;
        }
        catch
        {
            await image.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Opens an image without its backing chain; the first backing file is open, but not read yet.</summary>
    private static async ValueTask<QcowImage> OpenOneAsync(
        IByteSource source, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        var head = await ReadHeadAsync(source, HeadBytes, cancellationToken).ConfigureAwait(false);
        var header = QcowHeader.Parse(head);
        header.Validate(options.Limits, source.Length);
        if (header.ClusterSize > head.Length && source.Length > head.Length)
        {
            head = await ReadHeadAsync(source, header.ClusterSize, cancellationToken).ConfigureAwait(false);
        }

        var cluster0 = head.AsMemory(0, Math.Min(head.Length, header.ClusterSize));
        var extensions = QcowHeaderExtensions.Parse(cluster0.Span, header);
        var mayBeEncrypted = options.Passphrase is not null || options.MetadataOnly;
        QcowFeatureCheck.Refuse(header, extensions, options.Limits, mayBeEncrypted);
        var image = new QcowImage(source, options, header, extensions);
        try
        {
            if (!options.MetadataOnly)
            {
                await image.OpenReferencesAsync(options.Gate, cancellationToken).ConfigureAwait(false);
            }

            await image.ReadTableAsync(options.Snapshot, cancellationToken).ConfigureAwait(false);
            await image.UnlockAsync(options, cancellationToken).ConfigureAwait(false);
            return image;
        }
        catch
        {
            await image.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static async ValueTask<byte[]> ReadHeadAsync(
        IByteSource source, int length, CancellationToken cancellationToken)
    {
        var head = new byte[(int)Math.Min(length, source.Length)];
        var read = await source.ReadAsync(0, head, cancellationToken).ConfigureAwait(false);
        return read == head.Length ? head : head[..read];
    }

    private async ValueTask OpenReferencesAsync(IOpenGate gate, CancellationToken cancellationToken)
    {
        var usesDataFile = Header.Incompatible.HasFlag(QcowIncompatible.DataFile);
        if (usesDataFile || (limits.RejectUnusedDataFile && Extensions.DataFileName is not null))
        {
            if (Extensions.DataFileName is null && gate is not DenyGate)
            {
                throw new ImageFormatException(
                    FormatError.InvalidHeader, "The image keeps its data in another file, but does not name it.", 72);
            }

            var opened = await gate
                .OpenAsync(ReferenceKind.DataFile, Extensions.DataFileName ?? "", DiskFormat.Raw, cancellationToken)
                .ConfigureAwait(false);
            DataFile = opened.Source;
            DataFilePath = opened.Name;
            owned.Add(opened.Source);
        }

        if (Extensions.BackingName is not null)
        {
            var format = BackingFormat(Extensions.BackingFormat);
            backingReference = await gate
                .OpenAsync(ReferenceKind.BackingFile, Extensions.BackingName, format, cancellationToken)
                .ConfigureAwait(false);
            BackingPath = backingReference.Name;
            owned.Add(backingReference.Source);
            if (format is null && Extensions.BackingFormat is { Length: > 0 } unknown)
            {
                throw new ImageFormatException(
                    FormatError.UnsupportedFeature, $"Backing files of format \"{unknown}\" cannot be read.");
            }
        }
    }

    private static DiskFormat? BackingFormat(string? name) => name switch
    {
        "qcow2" => DiskFormat.Qcow2,
        "raw" or "file" or "host_device" => DiskFormat.Raw, // protocol names stand for raw in old images
        _ => null,
    };

    private async ValueTask OpenChainAsync(DiskOpenOptions options, CancellationToken cancellationToken)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        if (((Source as UndoFile)?.File ?? Source) is FileBytes file)
        {
            seen.Add(file.Identity());
        }

        var images = 1;
        for (var image = this; image?.backingReference is { } reference; image = image.Backing as QcowImage)
        {
            var name = QcowHeaderExtensions.Escape(System.Text.Encoding.UTF8.GetBytes(reference.Name));
            if (!seen.Add(reference.Identity))
            {
                throw new ImageFormatException(
                    FormatError.BackingChainTooLong, $"The backing chain is a loop: it comes back to {name}.");
            }

            if (++images > options.Limits.MaxChainImages)
            {
                throw new ImageFormatException(
                    FormatError.BackingChainTooLong,
                    $"The backing chain has more than {options.Limits.MaxChainImages} images.");
            }

            image.Backing = await OpenBackingAsync(reference, name, options, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async ValueTask<DiskImage> OpenBackingAsync(
        OpenedReference reference, string name, DiskOpenOptions options, CancellationToken cancellationToken)
    {
        var within = options with { Gate = reference.Gate, Snapshot = null };
        try
        {
            return reference.Format switch
            {
                DiskFormat.Qcow2 => await OpenOneAsync(reference.Source, within, cancellationToken)
                    .ConfigureAwait(false),
                DiskFormat.Raw => new RawImage(reference.Source),
                var other => throw new ImageFormatException(
                    FormatError.UnsupportedFeature, $"Backing files of format {other} cannot be read."),
            };
        }
        catch (ImageFormatException e)
        {
            throw new ImageFormatException(e.Error, $"Backing file {name}: {e.Message}", e.Offset);
        }
    }

    private async ValueTask ReadTableAsync(string? snapshot, CancellationToken cancellationToken)
    {
        // Validated: at most 32 MiB and inside the file.
        var (offset, entries) = ((long)Header.L1Offset, Header.L1Entries);
        if (snapshot is not null)
        {
            var snapshots = await QcowSnapshots.ReadAsync(Source, Header, cancellationToken).ConfigureAwait(false);
            Snapshot = snapshots.Find(snapshot);
            (offset, entries) = (Snapshot.L1Offset, (uint)Snapshot.L1Entries);
            virtualSize = Snapshot.VirtualSize & ~511L;
            if (virtualSize < 0 || virtualSize > limits.MaxVirtualSizeBytes)
            {
                throw new ImageFormatException(
                    FormatError.VirtualSizeTooLarge, $"The snapshot's disk of {virtualSize} bytes is beyond the limit.");
            }
        }

        // Entries beyond the disk's end hold VM states and are not needed.
        var needed = (virtualSize + Header.L2Coverage - 1) / Header.L2Coverage;
        l1 = new ulong[Math.Min(entries, needed)];
        var bytes = new byte[Math.Min(l1.Length, L1ReadEntries) * sizeof(ulong)];
        for (var first = 0; first < l1.Length; first += L1ReadEntries)
        {
            var part = l1.AsMemory(first, Math.Min(L1ReadEntries, l1.Length - first));
            await ReadL1Async(offset + ((long)first * sizeof(ulong)), part, bytes, cancellationToken)
                .ConfigureAwait(false);
        }
    }

    private async ValueTask ReadL1Async(
        long offset, Memory<ulong> entries, byte[] buffer, CancellationToken cancellationToken)
    {
        var bytes = buffer.AsMemory(0, entries.Length * sizeof(ulong));
        if (await Source.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) < bytes.Length)
        {
            throw new EndOfStreamException("The image's bytes end inside its L1 table.");
        }

        for (var i = 0; i < entries.Length; i++)
        {
            entries.Span[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes.Span[(i * sizeof(ulong))..]);
        }
    }

    private async ValueTask UnlockAsync(DiskOpenOptions options, CancellationToken cancellationToken)
    {
        if (Header.CryptMethod == 0)
        {
            return;
        }

        if (Extensions.Encryption is { } place)
        {
            Luks = await ReadLuksAsync(place, cancellationToken).ConfigureAwait(false);
        }

        if (options.MetadataOnly || options.Passphrase is null)
        {
            return;
        }

        var passphrase = await options.Passphrase(cancellationToken).ConfigureAwait(false);
        var stored = DataFile ?? Source;
        if (Luks is null)
        {
            Cipher = AesCipher(passphrase.Span);
            plain = new GuestDecryptedSource(OwnExactAsync, virtualSize, stored, Cipher);
            return;
        }

        Cipher = await Luks
            .UnlockAsync(
                Source, (long)Extensions.Encryption!.Value.Offset, (long)Extensions.Encryption.Value.Length, passphrase,
                limits, cancellationToken)
            .ConfigureAwait(false);
        plain = new DecryptedSource(stored, Cipher);
    }

    /// <summary>The legacy encryption: the passphrase itself is the key.</summary>
    private static SectorCipher AesCipher(ReadOnlySpan<byte> passphrase)
    {
        Span<byte> key = stackalloc byte[16];
        key.Clear();
        passphrase[..Math.Min(key.Length, passphrase.Length)].CopyTo(key);
        return new SectorCipher(key, SectorMode.Cbc, SectorVector.Plain64, default);
    }

    private async ValueTask<LuksHeader> ReadLuksAsync(
        QcowEncryptionExtension place, CancellationToken cancellationToken)
    {
        if (place.Length < LuksHeader.Size || place.Length > (ulong)Source.Length
            || place.Offset > (ulong)Source.Length - place.Length
            || (place.Offset & (ulong)(ClusterSize - 1)) != 0)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The encryption header is misaligned or lies outside the file.");
        }

        var bytes = new byte[LuksHeader.Size];
        await Source.ReadAsync((long)place.Offset, bytes, cancellationToken).ConfigureAwait(false);
        return LuksHeader.Parse(bytes);
    }
}
