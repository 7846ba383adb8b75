namespace Registry.Api.Nbd;

/// <summary>What a client has chosen.</summary>
/// <param name="Permit">What it asked for.</param>
/// <param name="Export">The export.</param>
/// <param name="IsStructured">Whether replies are structured.</param>
/// <param name="HasStatus">Whether it may ask which bytes are stored.</param>
internal sealed record NbdChoice(NbdPermit Permit, NbdExport Export, bool IsStructured, bool HasStatus) : IAsyncDisposable
{
    /// <summary>That the project has one export more; given back with the choice.</summary>
    public required IDisposable Slot { get; init; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using (Slot)
        {
            await Export.DisposeAsync();
        }
    }
}
