namespace Registry.Storage.Domain;

/// <summary>What one pass over an upload's bytes found out.</summary>
public sealed record UploadResult
{
    /// <summary>Bytes uploaded, 0 or more.</summary>
    public required long Size { get; init; }

    /// <summary>Size in bytes of the disk inside; null when unknown or when there are no bytes.</summary>
    public required long? VirtualSize { get; init; }

    /// <summary>MD5 of the bytes, lower-case hex. For old clients, not for security.</summary>
    public required string Checksum { get; init; }

    /// <summary>Algorithm of <see cref="HashValue"/>, such as <c>sha512</c>.</summary>
    public required string HashAlgorithm { get; init; }

    /// <summary>Secure hash of the bytes, lower-case hex.</summary>
    public required string HashValue { get; init; }

    /// <summary>Disk format found in the bytes, to be recorded; null keeps what the owner said.</summary>
    public string? DiskFormat { get; init; }

    /// <summary>Container format that the bytes have now, to be recorded; null keeps what the owner said.</summary>
    public string? ContainerFormat { get; init; }

    /// <summary>What in the disk inside refers to another file, to be recorded as
    /// <see cref="Image.NestedReference"/>; null for nothing.</summary>
    public string? NestedReference { get; init; }

    /// <summary>Length in bytes of the blob's index.</summary>
    public required long IndexLength { get; init; }

    /// <summary>SHA-256 of the index's root, 32 bytes: the value that every later read is verified up to.</summary>
    public required ReadOnlyMemory<byte> IndexDigest { get; init; }
}
