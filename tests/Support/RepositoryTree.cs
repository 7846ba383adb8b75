namespace Registry.Support;

/// <summary>Where things are in the repository that the running test was built in.</summary>
public static class RepositoryTree
{
    /// <summary>The top directory.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The absolute path of something in the repository.</summary>
    public static string File(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !System.IO.File.Exists(Path.Combine(directory.FullName, "Registry.sln")))
            directory = directory.Parent;
        return directory?.FullName
            ?? throw new InvalidOperationException("The test does not run inside the repository.");
    }
}
