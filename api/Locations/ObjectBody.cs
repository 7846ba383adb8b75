using Registry.Api.ImageData;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>An object in a store, as a body.</summary>
internal sealed class ObjectBody : IUploadBody
{
    private readonly IObjectSource _store;
    private readonly string _name;
    private readonly ObjectStat _stat;
    private readonly Action<long> _progress;
    private long _offset;

    private ObjectBody(IObjectSource store, string name, ObjectStat stat, Action<long> progress) =>
        (_store, _name, _stat, _progress) = (store, name, stat, progress);

    /// <inheritdoc/>
    public long? Length => _stat.Length;

    /// <summary>Opens an object.</summary>
    /// <exception cref="RegistryException">BadRequest: there is none.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public static async Task<ObjectBody> OpenAsync(
        IObjectSource store, string name, Action<long> progress, CancellationToken cancellationToken)
    {
        var stat = await store.StatObjectAsync(name, cancellationToken) ?? throw Missing();
        return new ObjectBody(store, name, stat, progress);
    }

    /// <inheritdoc/>
    /// <exception cref="RegistryException">BadRequest: the object was changed or removed meanwhile.</exception>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var wanted = (int)Math.Min(buffer.Length, _stat.Length - _offset);
        try
        {
            var read = await _store.ReadObjectAsync(_name, _offset, buffer[..wanted], cancellationToken);
            if (read < wanted)
            {
                throw Changed();
            }

            // Ranges are read one by one: that they are of one object is known when it is still the same at the end.
            _offset += read;
            if (read > 0 && _offset == _stat.Length
                && await _store.StatObjectAsync(_name, cancellationToken) != _stat)
            {
                throw Changed();
            }

            _progress(_offset);
            return read;
        }
        catch (ObjectNotFoundException)
        {
            throw Changed();
        }
    }

    private static RegistryException Missing() =>
        new(ErrorCode.BadRequest, "There is nothing at the location.", "location_missing");

    private static RegistryException Changed() => new(
        ErrorCode.BadRequest, "What the location names was changed while it was read.", "location_changed");
}
