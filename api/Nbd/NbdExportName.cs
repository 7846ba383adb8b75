namespace Registry.Api.Nbd;

/// <summary>What an export name asks for: an image, by its id or a name that only one has, and
/// <c>IMAGE+overlay</c> for a disk of one's own that begins as the image.</summary>
/// <remarks>An image whose own name ends so is reached by its id.</remarks>
/// <param name="Image">Id or name of the image.</param>
/// <param name="IsOverlay">Whether it can be written to.</param>
internal readonly record struct NbdExportName(string Image, bool IsOverlay)
{
    /// <summary>Most bytes of a name.</summary>
    public const int MaxBytes = 4096;

    private const string OverlaySuffix = "+overlay";

    /// <summary>Reads a name.</summary>
    public static NbdExportName Parse(string name) => name.EndsWith(OverlaySuffix, StringComparison.Ordinal)
        ? new NbdExportName(name[..^OverlaySuffix.Length], IsOverlay: true)
        : new NbdExportName(name, IsOverlay: false);
}
