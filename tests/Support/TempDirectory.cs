namespace Registry.Support;

/// <summary>A directory of its own for one test, removed when disposed.</summary>
public sealed class TempDirectory : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("registry-test-");

    /// <summary>Its absolute path.</summary>
    public string Path => _directory.FullName;

    /// <summary>The absolute path of something in it.</summary>
    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <inheritdoc/>
    public void Dispose() => _directory.Delete(recursive: true);
}
