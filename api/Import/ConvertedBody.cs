using System.IO.Pipelines;
using Registry.Api.ImageData;
using Registry.Api.Provisioning;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>A disk as the body of a raw or qcow2 file that is never on this machine's disk.</summary>
internal sealed class ConvertedBody : IUploadBody, IAsyncDisposable
{
    /// <summary>16 TiB: laying a qcow2 file out takes a bit of memory for each of its clusters.</summary>
    private const long QcowSizeMax = 16L << 40;

    private const int AheadBytes = 4 << 20;

    private readonly Pipe _pipe = new(
        new PipeOptions(pauseWriterThreshold: AheadBytes, resumeWriterThreshold: AheadBytes / 2));

    private readonly CancellationTokenSource _stop = new();
    private readonly DiskImage _disk;
    private readonly DiskReadOptions _reads;
    private readonly IAsyncDisposable _owner;
    private readonly QcowLayout? _layout;
    private readonly long _size;
    private readonly Action<long> _progress;
    private readonly Stream _bytes;
    private Task? _producing;
    private long _produced;

    private ConvertedBody(
        DiskImage disk, DiskReadOptions reads, IAsyncDisposable owner, QcowLayout? layout, long size,
        Action<long> progress)
    {
        (_disk, _reads, _owner, _layout, _size, _progress) = (disk, reads, owner, layout, size, progress);
        _bytes = _pipe.Reader.AsStream();
    }

    /// <inheritdoc/>
    public long? Length => _layout?.Length ?? _size;

    /// <summary>Plans a conversion.</summary>
    /// <param name="reading">The disk, which the body closes.</param>
    /// <param name="format">qcow2 or raw.</param>
    /// <param name="size">Bytes of the new disk; null for the same.</param>
    /// <param name="progress">Hears how many bytes of the new file are done.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: the disk is too large for it. -or- BadRequest: it is larger
    /// than the size.</exception>
    public static async Task<ConvertedBody> OpenAsync(
        ReadShares.Reading<StoredDisk> reading, string format, long? size, Action<long> progress,
        CancellationToken cancellationToken)
    {
        long bytes;
        try
        {
            bytes = reading.Open.SizeFor(size);
        }
        catch
        {
            await reading.DisposeAsync();
            throw;
        }

        return await OpenAsync(
            reading.Open.Disk, reading.Share.Options, reading, format, bytes, progress, cancellationToken);
    }

    /// <summary>Plans a conversion.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="reads">How it is read.</param>
    /// <param name="owner">What it belongs to; the body disposes it, and so does this where it fails.</param>
    /// <param name="format">qcow2 or raw.</param>
    /// <param name="bytes">Bytes of the new disk, at least the disk's.</param>
    /// <param name="progress">Hears how many bytes of the new file are done.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: the disk is too large for it, or its tables are not
    /// sound.</exception>
    public static async Task<ConvertedBody> OpenAsync(
        DiskImage disk, DiskReadOptions reads, IAsyncDisposable owner, string format, long bytes, Action<long> progress,
        CancellationToken cancellationToken)
    {
        try
        {
            var layout = format == "raw" ? null : await LayoutAsync(disk, bytes, cancellationToken);
            return new ConvertedBody(disk, reads, owner, layout, bytes, progress);
        }
        catch
        {
            await owner.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        _producing ??= ProduceAsync(_stop.Token);
        var filled = await _bytes.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        _progress(_produced += filled);
        return filled;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _bytes.DisposeAsync();
        if (_producing is not null)
        {
            await _producing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _stop.Dispose();
        await _owner.DisposeAsync();
    }

    private static async Task<QcowLayout> LayoutAsync(DiskImage disk, long bytes, CancellationToken cancellationToken)
    {
        if (bytes > QcowSizeMax)
        {
            throw new RegistryException(
                ErrorCode.ImageRejected, $"A disk of more than {QcowSizeMax} bytes is not converted.", "size_too_large");
        }

        try
        {
            return await QcowLayout.ForAsync(disk, bytes, QcowShape.Default, cancellationToken);
        }
        catch (ImageFormatException e)
        {
            throw StoredDisk.Refusal(e);
        }
    }

    // What fails here fails the reader.
    private async Task ProduceAsync(CancellationToken cancellationToken)
    {
        try
        {
            var length = Length!.Value;
            await (_layout is null
                ? DiskBody.WriteRawAsync(
                    _disk, length, 0, length, _reads, EmitAsync, cancellationToken)
                : DiskBody.WriteQcowAsync(
                    _disk, _layout, 0, length, _reads, EmitAsync, cancellationToken));
            await _pipe.Writer.CompleteAsync();
        }
        catch (Exception e)
        {
            await _pipe.Writer.CompleteAsync(e is ImageFormatException unsound ? StoredDisk.Refusal(unsound) : e);
        }
    }

    private async ValueTask EmitAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        var result = await _pipe.Writer.WriteAsync(bytes, cancellationToken);
        if (result.IsCompleted)
        {
            throw new OperationCanceledException("Nobody reads any more.");
        }
    }
}
