using Registry.Storage.Memory;

namespace Registry.Api.Nbd;

/// <summary>The right to one more open export: the project's slot and the connection's memory, released together.</summary>
/// <param name="counted">The slot.</param>
/// <param name="memory">The memory.</param>
internal sealed class NbdSlot(IDisposable counted, MemoryShare memory) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        memory.Dispose();
        counted.Dispose();
    }
}
