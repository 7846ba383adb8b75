namespace Registry.Engine.Disks;

/// <summary>How the compressed clusters of an image are compressed. Values are stored in allocation maps.</summary>
public enum ClusterCompression : byte
{
    /// <summary>The image has no compressed clusters.</summary>
    None = 0,

    /// <summary>Raw deflate (RFC 1951), without zlib's header and checksum.</summary>
    Deflate = 1,

    /// <summary>Zstandard frames (RFC 8878).</summary>
    Zstd = 2,

    /// <summary>A zlib stream (RFC 1950) with its header and checksum; the disk's last cluster may be compressed only
    /// as far as the disk reaches.</summary>
    Zlib = 3,
}
