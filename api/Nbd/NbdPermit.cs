using Registry.Api.Auth;

namespace Registry.Api.Nbd;

/// <summary>What a client asks to open, and as whom; whether that caller may is judged when it is opened.</summary>
/// <param name="Caller">The caller.</param>
/// <param name="Image">The image's id, or a name that it alone has.</param>
/// <param name="IsById">Whether it is the id for certain.</param>
/// <param name="IsOverlay">Whether it can be written to.</param>
internal sealed record NbdPermit(Caller Caller, string Image, bool IsById, bool IsOverlay)
{
    /// <summary>The name of the new image that the overlay becomes; null where it is lost.</summary>
    public string? KeepAs { get; init; }
}
