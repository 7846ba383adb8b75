using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Where the content of an image's disk comes from.</summary>
internal interface IDiskFeed
{
    /// <summary>Reads the disk, or a part of it.</summary>
    /// <returns>Messages as of ReadDisk; the content of one is gone when the next is asked for.</returns>
    IAsyncEnumerable<DiskResponse> ReadAsync(ReadDiskRequest request, CancellationToken cancellationToken);
}
