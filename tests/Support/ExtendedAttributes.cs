namespace Registry.Support;

/// <summary>Extended attributes of files, set and read by Python, which is on more machines than <c>setfattr</c>.</summary>
public static class ExtendedAttributes
{
    /// <summary>The attribute that holds an access list.</summary>
    public const string AccessList = "system.posix_acl_access";

    /// <summary>The attribute of a directory that holds the access list of new files.</summary>
    public const string DefaultList = "system.posix_acl_default";

    /// <summary>An access list that gives user 12345 reading and writing: owner rw-, user 12345 rw-, group r--, mask rw-,
    /// others nothing.</summary>
    public const string ListWithUser =
        "0200000001000600ffffffff020006003930000004000400ffffffff10000600ffffffff20000000ffffffff";

    /// <summary>Sets an attribute.</summary>
    /// <param name="path">The file.</param>
    /// <param name="name">The attribute.</param>
    /// <param name="value">Its value in hexadecimal.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static Task SetAsync(string path, string name, string value, CancellationToken cancellationToken) =>
        ExternalTool.Require("python3").OutputAsync(
            cancellationToken, "-c", "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))",
            path, name, value);

    /// <summary>Reads all attributes.</summary>
    /// <returns>A line for each, NAME=VALUE in hexadecimal.</returns>
    public static Task<string> ReadAsync(string path, CancellationToken cancellationToken) =>
        ExternalTool.Require("python3").OutputAsync(
            cancellationToken, "-c",
            "import os, sys; [print(n + '=' + os.getxattr(sys.argv[1], n).hex()) for n in os.listxattr(sys.argv[1])]", path);
}
