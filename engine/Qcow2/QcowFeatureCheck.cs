using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>Refuses by name what is legal in qcow2 but not read here.</summary>
public static class QcowFeatureCheck
{
    /// <summary>Refuses everything but references to other files, which the open gate decides on.</summary>
    /// <param name="header">The header, validated.</param>
    /// <param name="extensions">Its extensions.</param>
    /// <param name="limits">Says whether dirty and corrupt images are refused.</param>
    /// <param name="mayBeEncrypted">Whether there is a passphrase, or none is needed.</param>
    /// <exception cref="ImageFormatException">The feature's own <see cref="FormatError"/>.</exception>
    public static void Refuse(
        in QcowHeader header, QcowHeaderExtensions extensions, Limits limits,
        bool mayBeEncrypted = false)
    {
        RefuseUnknown(header.Incompatible, extensions);
        if (!mayBeEncrypted && (header.CryptMethod != 0 || extensions.Encryption is not null))
        {
            throw new ImageFormatException(
                FormatError.Encrypted, "The image is encrypted, and no passphrase was given.", 32);
        }

        if ((header.CryptMethod == 2) != (extensions.Encryption is not null))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The encryption method and the encryption header contradict each other.", 32);
        }

        if (limits.RejectDirty && header.Incompatible.HasFlag(QcowIncompatible.Dirty))
        {
            throw new ImageFormatException(
                FormatError.DirtyImage, "The image is marked dirty: it was not closed properly. Repair it first.", 72);
        }

        if (limits.RejectCorrupt && header.Incompatible.HasFlag(QcowIncompatible.Corrupt))
        {
            throw new ImageFormatException(
                FormatError.CorruptImage, "The image is marked corrupt. Repair it first.", 72);
        }

        if (header.Autoclear.HasFlag(QcowAutoclear.RawDataFile)
            && !header.Incompatible.HasFlag(QcowIncompatible.DataFile))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The image says that its data file is a raw disk, and has no data file.", 88);
        }

        RefuseCompressionType(header);
    }

    private static void RefuseUnknown(QcowIncompatible bits, QcowHeaderExtensions extensions)
    {
        var unknown = (ulong)(bits & ~QcowIncompatible.Known);
        if (unknown != 0)
        {
            var bit = BitOperations.TrailingZeroCount(unknown);
            throw new ImageFormatException(
                FormatError.UnknownFeature,
                $"The image needs an incompatible feature that is not supported: {extensions.FeatureName(0, bit)}.",
                72);
        }
    }

    private static void RefuseCompressionType(in QcowHeader header)
    {
        if (header.CompressionType > 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature,
                $"The compression type {header.CompressionType} is not supported.",
                104);
        }

        if (header.Incompatible.HasFlag(QcowIncompatible.CompressionType) != (header.CompressionType != 0))
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The compression type and its feature bit contradict each other.", 104);
        }
    }
}
