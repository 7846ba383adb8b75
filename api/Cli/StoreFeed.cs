using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Api.Grpc;
using Registry.Api.Memory;
using Registry.Api.Provisioning;
using Registry.Engine.Disks;
using Registry.Protos.V1;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Domain;

namespace Registry.Api.Cli;

/// <summary>It is read from the store itself, by addresses that the registry hands out, and verified here.</summary>
internal sealed class StoreFeed : IDiskFeed, IAsyncDisposable
{
    private const int AddressesAtOnce = 64;
    private static readonly TimeSpan SpareLife = TimeSpan.FromSeconds(30);

    private readonly SemaphoreSlim _turn = new(1);
    private readonly ReadShares _shares = new(new ProcessMemory(new MemorySection(), TimeProvider.System));
    private readonly Dictionary<string, (Uri Address, long AskedAt, TimeSpan Life)> _addresses = new(StringComparer.Ordinal);
    private readonly Connection _registry;
    private readonly string _imageId;
    private readonly ImageSource _source;
    private readonly SegmentedBlob _shape;
    private readonly AddressedBlob _store;
    private VerifiedBlob? _blob;
    private DiskImage? _disk;

    private StoreFeed(Connection registry, string imageId, ImageSource source)
    {
        (_registry, _imageId, _source) = (registry, imageId, source);
        _shape = new SegmentedBlob(
            source.DataLength, source.IndexLength, source.DataSegmentBytes, source.IndexSegmentBytes);
        _store = new AddressedBlob(
            "of the image", _shape, AddressAsync, null, StorePatience.Default, NullLogger<AddressedBlob>.Instance);
    }

    /// <summary>Asks the registry how the image lies in its store.</summary>
    /// <exception cref="global::Grpc.Core.RpcException">It refuses, or hands out no addresses.</exception>
    public static async Task<StoreFeed> OpenAsync(
        Connection registry, string imageId, CancellationToken cancellationToken) =>
        new(registry, imageId, await registry.Provisioning.GetSourceAsync(
            new GetSourceRequest { ImageId = imageId }, registry.Headers, cancellationToken: cancellationToken));

    /// <inheritdoc/>
    /// <exception cref="StoreUnavailableException">The store failed, or cannot be reached from here.</exception>
    /// <exception cref="BlobCorruptException">What the store has is not what was uploaded.</exception>
    public async IAsyncEnumerable<DiskResponse> ReadAsync(
        ReadDiskRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var share = await _shares.JoinAsync(cancellationToken);
        _blob ??= await VerifiedBlob.OpenAsync(
            _store,
            new ImageLocation(
                new BlobKey(_imageId, _source.Generation), _store.Id, _source.DataLength, _source.IndexLength,
                _source.IndexDigest.Span, TimeProvider.System.GetUtcNow()),
            cancellationToken);
        _disk ??= await StoredDisk.OpenDiskAsync(
            _blob, Enum.Parse<DiskFormat>(_source.DiskFormat, ignoreCase: true), cancellationToken);
        var size = request.Size == 0 ? _disk.VirtualSize : request.Size;
        if (size < _disk.VirtualSize)
        {
            throw new CommandException(
                $"the disk wanted ({size} bytes) is smaller than the image's ({_disk.VirtualSize} bytes).");
        }

        var messages = DiskMessages.ReadAsync(
            _disk, size, request, share, int.MaxValue, () => _blob.BytesRead, cancellationToken);
        await foreach (var message in messages)
        {
            yield return message;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_disk is not null)
        {
            await _disk.DisposeAsync();
        }

        _store.Dispose();
        _turn.Dispose();
    }

    // Many at once: what is read next is most likely the next segment.
    private async ValueTask<Uri> AddressAsync(string segment)
    {
        await _turn.WaitAsync();
        try
        {
            if (!_addresses.TryGetValue(segment, out var known) 
                || TimeProvider.System.GetElapsedTime(known.AskedAt) > known.Life)
            {
                await AskAsync(segment);
                known = _addresses[segment];
            }

            return known.Address;
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task AskAsync(string segment)
    {
        if (!BlobLayout.TryParseSegment(segment, out var part, out var number))
        {
            throw new ArgumentException($"'{segment}' is no segment.", nameof(segment));
        }

        var last = Math.Min(_shape.Segments(part), number + AddressesAtOnce);
        var request = new GetSourceRequest { ImageId = _imageId };
        for (var n = number; n < last; n++)
        {
            request.Segments.Add(BlobLayout.SegmentName(part, n));
        }

        var asked = TimeProvider.System.GetTimestamp();
        var answer = await _registry.Provisioning.GetSourceAsync(request, _registry.Headers);
        if (answer.Generation != _source.Generation)
        {
            throw new CommandException("the image was moved to another store meanwhile; try again.");
        }

        var life = TimeSpan.FromSeconds(answer.Seconds) - SpareLife;
        for (var i = 0; i < request.Segments.Count; i++)
        {
            _addresses[request.Segments[i]] = (new Uri(answer.Addresses[i]), asked, life);
        }
    }
}
