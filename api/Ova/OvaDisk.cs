using Registry.Api.ImageData;
using Registry.Api.Stores;

namespace Registry.Api.Ova;

/// <summary>The plain disk of an OVA archive, as a body, compared with the manifest as it passes.</summary>
/// <param name="blob">The archive.</param>
/// <param name="disk">The disk's file in it.</param>
/// <param name="hash">What the manifest says of it; the body disposes it.</param>
/// <param name="progress">Called with the number of bytes of the disk that are done.</param>
internal sealed class OvaDisk(StoredBlob blob, TarMember disk, OvaHash hash, Action<long> progress)
    : IUploadBody, IDisposable
{
    private long _position;
    private bool _isCompared;

    /// <inheritdoc/>
    public long? Length => disk.Length;

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var wanted = (int)Math.Min(buffer.Length, disk.Length - _position);
        await OvaPackage.FillAsync(blob, disk.Offset + _position, buffer[..wanted], cancellationToken);
        hash.Append(buffer.Span[..wanted]);
        progress(_position += wanted);
        if (_position == disk.Length && !_isCompared)
        {
            hash.Require();
            _isCompared = true;
        }

        return wanted;
    }

    /// <inheritdoc/>
    public void Dispose() => hash.Dispose();
}
