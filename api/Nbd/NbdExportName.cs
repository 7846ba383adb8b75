namespace Registry.Api.Nbd;

/// <summary>What an export name asks for: an image, by its id or a name that only one has; <c>IMAGE+overlay</c> for a
/// disk of one's own that begins as the image; and <c>IMAGE+overlay=NAME</c> for one that becomes a new image.</summary>
/// <remarks>An image whose own name ends so is reached by its id.</remarks>
/// <param name="Image">Id or name of the image.</param>
/// <param name="IsOverlay">Whether it can be written to.</param>
/// <param name="KeepAs">The new image's name; null for none.</param>
internal readonly record struct NbdExportName(string Image, bool IsOverlay, string? KeepAs)
{
    /// <summary>Most bytes of a name.</summary>
    public const int MaxBytes = 4096;

    private const string OverlaySuffix = "+overlay";
    private const string KeptInfix = "+overlay=";

    /// <summary>Reads a name.</summary>
    public static NbdExportName Parse(string name)
    {
        if (name.EndsWith(OverlaySuffix, StringComparison.Ordinal))
        {
            return new NbdExportName(name[..^OverlaySuffix.Length], IsOverlay: true, KeepAs: null);
        }

        var kept = name.LastIndexOf(KeptInfix, StringComparison.Ordinal);
        return kept < 0
            ? new NbdExportName(name, IsOverlay: false, KeepAs: null)
            : new NbdExportName(name[..kept], IsOverlay: true, name[(kept + KeptInfix.Length)..]);
    }
}
