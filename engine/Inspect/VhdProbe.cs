using Registry.Engine.Disks;
using Registry.Engine.Vhd;

namespace Registry.Engine.Inspect;

/// <summary>Fixed and dynamic VHD.</summary>
/// <remarks>A dynamic one starts with a copy of its footer. A fixed one is recognised only at its end.</remarks>
internal sealed class VhdProbe : FormatProbe
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Vhd;

    /// <summary>Whether a footer ends the stream and no copy starts it.</summary>
    public static bool IsFooterOnly(in StreamSample sample) =>
        !VhdFooter.HasMagic(sample.Head) && VhdFooter.HasMagic(Footer(sample));

    /// <inheritdoc/>
    public override bool Matches(in StreamSample sample) => VhdFooter.HasMagic(sample.Head) || IsFooterOnly(sample);

    /// <inheritdoc/>
    public override long? Check(in StreamSample sample)
    {
        if (sample.EndsBefore(VhdFooter.Size))
            throw new ImageFormatException(FormatError.Truncated, "The image ends inside its VHD footer.", 0);

        var footerOnly = IsFooterOnly(sample);
        var footer = VhdFooter.Parse(footerOnly ? Footer(sample) : sample.Head);
        footer.Validate();
        var size = RequireSize((ulong)footer.DiskBytes);
        if (footer.DiskType == VhdDiskType.Fixed)
            CheckFixed(sample, footer);
        else if (footerOnly)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The dynamic VHD does not start with a copy of its footer.", 0);
        }
        else
            CheckDynamic(sample, footer);

        return size;
    }

    private static void CheckFixed(in StreamSample sample, VhdFooter footer)
    {
        if (sample.Length is { } length && length != (long)footer.CurrentBytes + VhdFooter.Size)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The length of the file is not that of its fixed VHD.");
        }
    }

    private static void CheckDynamic(in StreamSample sample, VhdFooter copy)
    {
        if (copy.DataOffset is < VhdFooter.Size or > int.MaxValue)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The dynamic VHD header is not behind the footer's copy.", 16);
        }

        var offset = (int)copy.DataOffset;
        if (sample.EndsBefore(offset + (long)VhdDynamicHeader.Size))
        {
            throw new ImageFormatException(
                FormatError.Truncated, "The image ends inside its dynamic VHD header.", offset);
        }

        if (sample.Head.Length - offset < VhdDynamicHeader.Size)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The dynamic VHD header is too far from the start.", 16);
        }

        var header = VhdDynamicHeader.Parse(sample.Head[offset..]);
        header.Validate((ulong)copy.DiskBytes);
        if (sample.Length is null)
            return;

        if (sample.EndsBefore((long)header.TableEnd))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The VHD block table lies outside the file.", offset);
        }

        var end = Footer(sample);
        if (!VhdFooter.HasMagic(end))
            throw new ImageFormatException(FormatError.Truncated, "The VHD does not end with its footer.");

        if (VhdFooter.Parse(end) != copy)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VHD footer and its copy contradict each other.");
        }
    }

    private static ReadOnlySpan<byte> Footer(in StreamSample sample) =>
        sample.Tail.Length >= VhdFooter.Size ? sample.Tail[^VhdFooter.Size..] : [];
}
