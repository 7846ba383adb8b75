namespace Registry.Engine.Bytes;

/// <summary>What a process does with an image file, as QEMU's locks tell other processes.</summary>
public enum ImageUse
{
    /// <summary>It reads guest bytes that may change meanwhile: a raw disk, as QEMU reads one, or an image whose user asked for it
    /// (<c>--force-share</c>).</summary>
    Shared,

    /// <summary>It reads an image whose tables must not change meanwhile.</summary>
    Read,

    /// <summary>It changes the image, and no other process may write to it or read its tables.</summary>
    Write,
}
