using System.Runtime.CompilerServices;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Where the content of an image's disk comes from.</summary>
internal interface IDiskFeed
{
    /// <summary>Reads the disk, or a part of it.</summary>
    /// <returns>Messages as of ReadDisk; the content of one is gone when the next is asked for.</returns>
    IAsyncEnumerable<DiskResponse> ReadAsync(ReadDiskRequest request, CancellationToken cancellationToken);
}

/// <summary>The registry sends it.</summary>
internal sealed class RegistryFeed(Connection registry) : IDiskFeed
{
    /// <inheritdoc/>
    /// <exception cref="RpcException">The registry refuses, or is away.</exception>
    public async IAsyncEnumerable<DiskResponse> ReadAsync(
        ReadDiskRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var call = registry.Provisioning.ReadDisk(request, registry.Headers, cancellationToken: cancellationToken);
        while (await call.ResponseStream.MoveNext(cancellationToken))
        {
            yield return call.ResponseStream.Current;
        }
    }
}
