using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Memory;

namespace Registry.Api.ImageData;

/// <summary>An image that a caller may download, with the memory that copying its bytes needs; dispose it after the
/// copy.</summary>
/// <param name="image">The image.</param>
/// <param name="blob">Its bytes; null when it has none yet.</param>
/// <param name="memory">The memory; null where there are no bytes.</param>
internal sealed class ImageDownload(Image image, StoredBlob? blob, MemoryShare? memory) : IDisposable
{
    /// <summary>The image.</summary>
    public Image Image => image;

    /// <summary>Its bytes; null when it has none yet.</summary>
    public StoredBlob? Blob => blob;

    /// <inheritdoc/>
    public void Dispose()
    {
        blob?.Dispose();
        memory?.Dispose();
    }
}
