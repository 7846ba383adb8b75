using System.Globalization;
using System.Runtime.CompilerServices;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>The registry sends it.</summary>
internal sealed class RegistryFeed(Connection registry) : IDiskFeed
{
    /// <inheritdoc/>
    /// <exception cref="RpcException">The registry refuses, or is away.</exception>
    public async IAsyncEnumerable<DiskResponse> ReadAsync(
        ReadDiskRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var path = string.Create(
            CultureInfo.InvariantCulture,
            $"/registry/v1/images/{request.ImageId}/extents?size={request.Size}&start={request.Start}&length={request.Length}");
        await using var body = registry.Open(path, cancellationToken);
        await using var closing = cancellationToken.Register(body.Close);
        var messages = new DiskMessageReader(body);
        while (messages.Next() is { } message)
        {
            yield return message;
        }
    }
}
