using System.Security.Cryptography;
using System.Threading.Channels;
using Registry.Engine.Inspect;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>What one pass over an upload's bytes found.</summary>
/// <param name="Length">Bytes received.</param>
/// <param name="Md5">MD5, lower-case hex.</param>
/// <param name="Sha512">SHA-512, lower-case hex.</param>
/// <param name="Inspection">What the content is.</param>
internal sealed record UploadSummary(long Length, string Md5, string Sha512, Inspection Inspection);

/// <summary>The one pass over an upload's bytes: MD5, SHA-512, format inspection, block digests and the blob writer,
/// side by side on the same chunks.</summary>
/// <remarks>Memory is <see cref="ChunksMax"/> chunks, whatever the length, and <see cref="ChunksMin"/> where there are many
/// passes at once: the client is read no faster than the slowest consumer works.</remarks>
internal sealed class UploadPass(
    ChunkPool pool, IBlobWriter writer, BlobIndexWriter index, FormatInspector inspector, TimeSpan chunkPatience)
    : IDisposable
{
    /// <summary>Chunks that every pass may hold.</summary>
    public const int ChunksMin = 2;

    private const int ChunksMax = 12;
    private const int Consumers = 3;

    private readonly SemaphoreSlim _buffers = new(ChunksMin);
    private readonly Channel<Chunk> _toStore = Channel.CreateBounded<Chunk>(ChunksMax);
    private int _shares;
    private int _charged;

    /// <summary>Runs the pass to the end of the body.</summary>
    /// <param name="body">The client's bytes.</param>
    /// <param name="lengthMax">Most bytes accepted.</param>
    /// <param name="judge">Called after every chunk that was inspected; throws when the content is certain to be
    /// refused.</param>
    /// <param name="cancellationToken">Ends the pass.</param>
    /// <exception cref="RegistryException">TooLarge, BadRequest for a length that is not the stated one, and what
    /// <paramref name="judge"/> throws.</exception>
    /// <exception cref="IOException">The client went away or the store failed.</exception>
    public async Task<UploadSummary> RunAsync(
        IUploadBody body, long lengthMax, Action judge, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var md5 = new HashThread(HashAlgorithmName.MD5);
        using var sha512 = new HashThread(HashAlgorithmName.SHA512);
        var storing = StoreAsync(stop);
        long length = 0;
        string[] digests;
        try
        {
            length = await ReceiveAsync(body, lengthMax, judge, md5, sha512, stop.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The store failed and stopped the reading: its exception is the cause, and is thrown below.
        }
        catch
        {
            await stop.CancelAsync();
            throw;
        }
        finally
        {
            _toStore.Writer.TryComplete();
            digests = await Task.WhenAll(md5.FinishAsync(), sha512.FinishAsync());
            await storing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await storing;
        return new UploadSummary(length, digests[0], digests[1], inspector.Finish());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        pool.ReturnShares(_shares);
        pool.Discharge(_charged);
        _buffers.Dispose();
    }

    private async Task<long> ReceiveAsync(
        IUploadBody body,
        long lengthMax,
        Action judge,
        HashThread md5,
        HashThread sha512,
        CancellationToken cancellationToken)
    {
        long length = 0;
        while (true)
        {
            var buffer = await RentAsync(cancellationToken);
            int filled;
            try
            {
                filled = await FillAsync(body, buffer, cancellationToken);
                length += filled;
                Check(body, length, lengthMax);
                inspector.Feed(buffer.AsSpan(0, filled));
                ChargeInspector();
                judge();
            }
            catch
            {
                Release(buffer);
                throw;
            }

            if (filled == 0)
            {
                Release(buffer);
                break;
            }

            var chunk = new Chunk(buffer, filled, Consumers, Release);
            md5.Add(chunk);
            sha512.Add(chunk);
            if (!_toStore.Writer.TryWrite(chunk))
            {
                chunk.Release(); // the storing side has ended; its failure is about to be seen
            }
        }

        if (body.Length is { } expected && expected != length)
        {
            throw SizeMismatch(expected, length);
        }

        return length;
    }

    // VMDK and VHDX are judged by their first MiB, which is known when their signature has been read.
    private void ChargeInspector()
    {
        var more = inspector.HeldBytes - _charged;
        if (more > 0)
        {
            pool.Charge(more);
            _charged += more;
        }
    }

    // The web server's own rate limit does not cover gRPC streams, and a lease is renewed however little arrives.
    private async ValueTask<int> FillAsync(IUploadBody body, byte[] buffer, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(chunkPatience);
        try
        {
            return await body.FillAsync(buffer, patience.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RegistryException(
                ErrorCode.TooSlow,
                $"Less than {buffer.Length} bytes arrived in {chunkPatience.TotalSeconds:0} seconds.");
        }
    }

    private static void Check(IUploadBody body, long length, long lengthMax)
    {
        if (length > lengthMax)
        {
            throw new RegistryException(
                ErrorCode.TooLarge, $"The image is larger than the maximum of {lengthMax} bytes.");
        }

        if (length > body.Length)
        {
            throw SizeMismatch(body.Length.Value, length);
        }
    }

    private async Task StoreAsync(CancellationTokenSource stop)
    {
        // Let go of the caller's thread at once: the caller is about to read the client.
        await Task.Yield();
        var reader = _toStore.Reader;
        try
        {
            await foreach (var chunk in reader.ReadAllAsync(stop.Token))
            {
                try
                {
                    await index.AppendAsync(chunk.Bytes, stop.Token);
                    await writer.AppendAsync(BlobPart.Data, chunk.Bytes, stop.Token);
                }
                finally
                {
                    chunk.Release();
                }
            }
        }
        catch
        {
            _toStore.Writer.TryComplete();
            await stop.CancelAsync();
            throw;
        }
        finally
        {
            while (reader.TryRead(out var left))
            {
                left.Release();
            }
        }
    }

    private async ValueTask<byte[]> RentAsync(CancellationToken cancellationToken)
    {
        if (!_buffers.Wait(0, CancellationToken.None))
        {
            if (_shares < ChunksMax - ChunksMin && pool.TryTakeShare())
            {
                _shares++;
            }
            else
            {
                await _buffers.WaitAsync(cancellationToken);
            }
        }

        return pool.Rent(pool.ChunkBytes);
    }

    private void Release(byte[] buffer)
    {
        pool.Return(buffer);
        _buffers.Release();
    }

    /// <summary>The refusal of a body that has another length than was stated.</summary>
    internal static RegistryException SizeMismatch(long expected, long got) =>
        new(ErrorCode.BadRequest, $"Size mismatch: expected {expected} bytes, got {got} bytes", "size_mismatch");
}
