using Microsoft.Win32.SafeHandles;
using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>Where an image's bytes are written, in order.</summary>
internal abstract class PullTarget : IAsyncDisposable
{
    /// <summary>The name of standard output.</summary>
    public const string StandardOutput = "-";

    private const int ZeroBlockBytes = 1 << 20;

    /// <summary>Opens a file or a block device, or a pipe, into which the bytes are streamed.</summary>
    /// <param name="path">What the user named.</param>
    /// <param name="rules">What may be done to a file.</param>
    /// <param name="cancellationToken">Cancels the waiting for a device, or for the reader of a pipe.</param>
    /// <exception cref="CommandException">It cannot take bytes, or may not be overwritten.</exception>
    public static async Task<PullTarget> OpenAsync(string path, TargetRules rules, CancellationToken cancellationToken)
    {
        if (path == StandardOutput)
        {
            return Console.IsOutputRedirected
                ? new PipeTarget(OpenOutput())
                : throw new CommandException("standard output is a terminal; name a file with --to, or redirect the output.");
        }

        return path.Length > 0 && FileKinds.Of(path) == FileKind.Pipe
            ? new PipeTarget(await Task.Run(() => OpenPipe(path), CancellationToken.None).WaitAsync(cancellationToken))
            : new FileTarget(await TargetFile.OpenAsync(path, rules, cancellationToken));
    }

    /// <summary>Makes room, where a file can.</summary>
    /// <exception cref="IOException">The target is too small.</exception>
    public virtual Task ReserveAsync(long length, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Writes bytes behind those before.</summary>
    public abstract ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Writes zeroes behind what was written before.</summary>
    public abstract Task ZeroAsync(long offset, long length, CancellationToken cancellationToken);

    /// <summary>Ends what was written; a file has its name from then on.</summary>
    public abstract Task CompleteAsync(long length, CancellationToken cancellationToken);

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();

    // The console's own stream does not say that the reader has gone.
    private static FileStream OpenOutput()
    {
        const int output = 1;
        return new FileStream(new SafeFileHandle(output, ownsHandle: false), FileAccess.Write, bufferSize: 0);
    }

    // Opening blocks until the pipe has a reader. Another user may have put a pipe where a new file was expected.
    private static FileStream OpenPipe(string path)
    {
        RequireOwn(FileStatus.Of(path), path);
        var pipe = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.Open, Access = FileAccess.Write, Share = FileShare.ReadWrite, BufferSize = 0,
        });
        try
        {
            RequireOwn(FileStatus.Of(pipe.SafeFileHandle), path);
            return pipe;
        }
        catch
        {
            pipe.Dispose();
            throw;
        }
    }

    private static void RequireOwn(FileStatus? status, string path)
    {
        if (status is not { Kind: FileKind.Pipe, IsPrivate: true })
        {
            throw new CommandException($"'{path}' is a pipe that other users own or may write to");
        }
    }

    private sealed class FileTarget(TargetFile file) : PullTarget
    {
        public override async Task ReserveAsync(long length, CancellationToken cancellationToken) =>
            await file.Bytes.SetLengthAsync(length, cancellationToken);

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken) =>
            file.Bytes.WriteAsync(offset, bytes, cancellationToken);

        // A new file reads as zeroes where nothing was written.
        public override async Task ZeroAsync(long offset, long length, CancellationToken cancellationToken)
        {
            if (!file.IsNew)
            {
                await file.Bytes.ZeroAsync(offset, length, cancellationToken);
            }
        }

        public override async Task CompleteAsync(long length, CancellationToken cancellationToken)
        {
            await file.Bytes.SetLengthAsync(length, cancellationToken);
            await file.Bytes.FlushAsync(cancellationToken);
            file.Publish(isDurable: true);
        }

        public override ValueTask DisposeAsync() => file.DisposeAsync();
    }

    private sealed class PipeTarget(Stream pipe) : PullTarget
    {
        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken) =>
            pipe.WriteAsync(bytes, cancellationToken);

        public override async Task ZeroAsync(long offset, long length, CancellationToken cancellationToken)
        {
            var zeroes = new byte[Math.Min(length, ZeroBlockBytes)];
            for (var rest = length; rest > 0; rest -= Math.Min(rest, zeroes.Length))
            {
                await pipe.WriteAsync(zeroes.AsMemory(0, (int)Math.Min(rest, zeroes.Length)), cancellationToken);
            }
        }

        public override Task CompleteAsync(long length, CancellationToken cancellationToken) =>
            pipe.FlushAsync(cancellationToken);

        public override ValueTask DisposeAsync() => pipe.DisposeAsync();
    }
}
