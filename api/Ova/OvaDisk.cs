using Registry.Api.ImageData;
using Registry.Api.Stores;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>The one disk of an OVA archive, as a body. It is read where it lies: no part of the archive is written
/// anywhere.</summary>
internal sealed class OvaDisk : IUploadBody
{
    private readonly StoredBlob _archive;
    private readonly Action<long> _progress;
    private readonly TarMember _disk;
    private long _position;

    private OvaDisk(
        StoredBlob archive, TarMember disk, IReadOnlyDictionary<string, string> properties, Action<long> progress)
    {
        (_archive, _disk, _progress) = (archive, disk, progress);
        Properties = properties;
    }

    /// <inheritdoc/>
    public long? Length => _disk.Length;

    /// <summary>Properties that the descriptor has for the image.</summary>
    public IReadOnlyDictionary<string, string> Properties { get; }

    /// <summary>Finds the disk of an archive.</summary>
    /// <param name="archive">The archive.</param>
    /// <param name="wanted">See <see cref="OvfDescriptor.Read"/>.</param>
    /// <param name="progress">Hears how many bytes of the disk are done.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: it is damaged, or not an archive of one plain disk.</exception>
    public static async Task<OvaDisk> OpenAsync(
        StoredBlob archive, IReadOnlyCollection<string> wanted, Action<long> progress, CancellationToken cancellationToken)
    {
        ValueTask ReadAsync(long offset, Memory<byte> buffer, CancellationToken stop) =>
            FillAsync(archive, offset, buffer, stop);

        var members = await TarIndex.ReadAsync(ReadAsync, archive.Length, cancellationToken);
        TarMember[] descriptors =
            [.. members.Where(m => m.Name.EndsWith(".ovf", StringComparison.OrdinalIgnoreCase))];
        if (descriptors is not [{ Length: <= OvfDescriptor.BytesMax } descriptor])
        {
            throw Refused("it must hold exactly one descriptor (.ovf) of a sensible length", "descriptor");
        }

        var bytes = new byte[descriptor.Length];
        await ReadAsync(descriptor.Offset, bytes, cancellationToken);
        var described = OvfDescriptor.Read(bytes, wanted);
        return members.FirstOrDefault(m => m.Name == described.DiskName) is { Name: not null } disk
            ? new OvaDisk(archive, disk, described.Properties, progress)
            : throw Refused("the disk that its descriptor names is not in it", "disk_missing");
    }

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var wanted = (int)Math.Min(buffer.Length, _disk.Length - _position);
        await FillAsync(_archive, _disk.Offset + _position, buffer[..wanted], cancellationToken);
        _progress(_position += wanted);
        return wanted;
    }

    private static async ValueTask FillAsync(
        StoredBlob archive, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (buffer.Length > 0)
        {
            var read = await archive.ReadAsync(offset, buffer, cancellationToken);
            if (read == 0)
            {
                throw Refused("it is cut off", "damaged");
            }

            buffer = buffer[read..];
            offset += read;
        }
    }

    private static RegistryException Refused(string why, string reason) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_" + reason);
}
