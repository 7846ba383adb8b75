using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Model;

/// <summary>Opens files that exist in memory only.</summary>
internal sealed class MemoryGate : IOpenGate
{
    private readonly Dictionary<string, MemoryBytes> files = [];

    /// <summary>All files.</summary>
    public IEnumerable<(string Name, byte[] Bytes)> All => files.Select(file => (file.Key, file.Value.Bytes));

    /// <summary>Adds a file.</summary>
    public void Add(string name, byte[] bytes) => files.Add(name, new MemoryBytes(bytes));

    /// <summary>A file's bytes.</summary>
    public byte[] Read(string name) => files[name].Bytes;

    /// <summary>A file, to change it.</summary>
    public IByteFile File(string name) => files[name];

    public ValueTask<OpenedReference> OpenAsync(
        ReferenceKind kind, string name, DiskFormat? format, CancellationToken cancellationToken) =>
        new(new OpenedReference(files[name], format ?? DiskFormat.Raw, name, name, this));
}
