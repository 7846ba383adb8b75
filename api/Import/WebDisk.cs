using Registry.Api.ImageData;
using Registry.Api.Outbound;
using Registry.Api.Provisioning;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Vhd;

namespace Registry.Api.Import;

/// <summary>Opens a disk image where a URL names it, so that it is converted without ever being fetched as a whole: its
/// tables first, and then what it stores, in long ranges.</summary>
internal static class WebDisk
{
    /// <summary>How it is read: a few ranges at a time are on their way, within 32 MiB.</summary>
    public static DiskReadOptions Reads { get; } = DiskReadOptions.Remote with { MaxRangeBytes = 4 << 20, Parallelism = 4 };

    /// <summary>Judges and opens an image.</summary>
    /// <param name="source">What is read.</param>
    /// <param name="diskFormat">The format that it was declared to have, in container format bare.</param>
    /// <param name="lengthMax">Most bytes of the file.</param>
    /// <param name="mayBePacked">Whether it is to be unpacked where it is compressed.</param>
    /// <param name="options">Limits.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The disk; null for what has to be fetched first: the server gives no ranges, the file is compressed or too
    /// long, or only all of its bytes tell which of them are zeroes.</returns>
    /// <exception cref="Storage.Domain.RegistryException">ImageRejected: it is not what it was declared to be, or not safe.
    /// -or- BadRequest: it cannot be had.</exception>
    public static async Task<DiskImage?> OpenAsync(
        DownloadSource source,
        string diskFormat,
        long lengthMax,
        bool mayBePacked,
        OutboundSection options,
        TimeProvider clock,
        CancellationToken cancellationToken)
    {
        if (diskFormat is not ("qcow2" or "vmdk" or "vhd" or "vhdx" or "vdi"))
        {
            return null;
        }

        var bytes = await WebRanges.OpenAsync(source, options, clock, cancellationToken);
        if (bytes is null || bytes.Length > lengthMax
            || (mayBePacked && Compression.Find(bytes.Head[..Math.Min(Compression.HeadBytes, bytes.Head.Length)]) is not null))
        {
            return null;
        }

        var inspection = await FormatInspector.InspectAsync(bytes, cancellationToken);
        BlobIntake.RequireAccepted(UploadVerdict.Judge(diskFormat, "bare", inspection).Refusal);
        try
        {
            var disk = await DiskImages.OpenAsync(bytes, inspection.Format, DiskOpenOptions.Strict, cancellationToken);
            if (disk is not VhdFixedImage)
            {
                return disk;
            }

            await disk.DisposeAsync();
            return null;
        }
        catch (ImageFormatException e)
        {
            throw StoredDisk.Refusal(e);
        }
    }
}
