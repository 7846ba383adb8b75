using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Which of several signatures in one stream counts.</summary>
internal static class FormatMatches
{
    /// <summary>Drops the signatures that the others explain; more than one left means that the content is
    /// ambiguous.</summary>
    /// <param name="matches">The formats found.</param>
    /// <param name="footerOnlyVhd">Whether VHD was found by its footer alone: a fixed VHD, a plain disk in front of a
    /// footer, whose own content (a partition table, a file system) shows at the start.</param>
    public static IReadOnlyList<DiskFormat> Resolve(IReadOnlyList<DiskFormat> matches, bool footerOnlyVhd)
    {
        if (footerOnlyVhd)
            return [.. matches.Where(FormatNames.IsContainer)];

        // A bootable disc that is also written to USB sticks has a partition table in front.
        return matches.Contains(DiskFormat.Iso)
            ? [.. matches.Where(format => format != DiskFormat.Gpt)]
            : matches;
    }
}
