using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>What an image may refer to.</summary>
public enum ReferenceKind
{
    /// <summary>A backing file.</summary>
    BackingFile,

    /// <summary>An external data file or flat extent.</summary>
    DataFile,
}

/// <summary>What a gate opened.</summary>
/// <param name="Source">The bytes.</param>
/// <param name="Format">Their format: as the image says, or found out where the gate allows that.</param>
/// <param name="Name">The name it was opened by, for messages: a path.</param>
/// <param name="Identity">What tells it from everything else that the gate opens; a chain that comes back to it is
/// refused.</param>
/// <param name="Gate">Decides on what the opened image names in its turn.</param>
public sealed record OpenedReference(
    IByteSource Source, DiskFormat Format, string Name, string Identity, IOpenGate Gate);

/// <summary>Decides whether something that an image names is opened. The engine opens nothing by itself.</summary>
public interface IOpenGate
{
    /// <summary>Opens what an image names, or refuses.</summary>
    /// <param name="kind">What is named.</param>
    /// <param name="name">The name as the image has it.</param>
    /// <param name="format">Its format where the image says; null otherwise.</param>
    /// <param name="cancellationToken">Cancels the opening.</param>
    /// <returns>What was opened; the caller's from now on.</returns>
    /// <exception cref="ImageFormatException">Refused.</exception>
    /// <exception cref="IOException">It is not there, or could not be read.</exception>
    ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken);
}

/// <summary>Refuses everything. The only gate the server ever passes.</summary>
public sealed class DenyGate : IOpenGate
{
    /// <summary>The gate.</summary>
    public static DenyGate Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken) =>
        throw (kind == ReferenceKind.BackingFile
            ? new ImageFormatException(
                FormatError.BackingFileRefused, "The image has a backing file, which is not allowed here.")
            : new ImageFormatException(
                FormatError.DataFileRefused, "The image has an external data file, which is not allowed here."));
}
