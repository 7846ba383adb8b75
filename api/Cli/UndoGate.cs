using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>The files that a change of an image writes to, so that it can be undone: the image, and its external data
/// file, which is opened by this gate.</summary>
/// <param name="gate">Opens what the image names.</param>
/// <param name="image">The image; stays the caller's.</param>
internal sealed class UndoGate(IOpenGate gate, FileBytes image) : IOpenGate, IAsyncDisposable
{
    private UndoFile? _data;

    /// <summary>The image.</summary>
    public UndoFile Image { get; } = new(image);

    /// <summary>The external data file; null where the image has none.</summary>
    public FileBytes? Data => _data?.File as FileBytes;

    /// <inheritdoc/>
    public async ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken)
    {
        var opened = await gate.OpenAsync(kind, name, format, cancellationToken);
        if (kind != ReferenceKind.DataFile || _data is not null || opened.Source is not IByteFile file)
        {
            return opened;
        }

        _data = new UndoFile(file);
        return opened with { Source = _data };
    }

    /// <summary>Keeps nothing from now on: the change cannot be undone.</summary>
    public void Forget()
    {
        Image.Forget();
        _data?.Forget();
    }

    /// <summary>Makes the files what they were, and drops every later change.</summary>
    /// <exception cref="IOException">One of them cannot be written.</exception>
    public async Task UndoAsync()
    {
        await Image.UndoAsync();
        if (_data is not null)
        {
            await _data.UndoAsync();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_data is not null)
        {
            await _data.File.DisposeAsync();
        }
    }
}
