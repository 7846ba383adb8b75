using Registry.Api.Cli;
using Registry.Storage.Blobs;

namespace Registry.Api.Adoption;

/// <summary>A directory of Glance's file store, and where its files are on this machine.</summary>
/// <param name="GlancePath">Its absolute path where Glance runs, as locations say it.</param>
/// <param name="Here">Where it is here.</param>
internal sealed record FileRoot(string GlancePath, ForeignDirectory Here)
{
    /// <summary>Debian's and most others'.</summary>
    public const string Usual = "/var/lib/glance/images";

    /// <summary>Reads <c>DIR</c>, or <c>GLANCE_DIR=DIR</c>.</summary>
    /// <exception cref="CommandException">There is no such directory, or Glance's is not absolute.</exception>
    public static FileRoot Parse(string text)
    {
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        var here = text[(equals + 1)..];
        if (!Directory.Exists(here))
        {
            throw new CommandException($"There is no directory {here}.");
        }

        var glance = (equals < 0 ? Path.GetFullPath(here) : text[..equals]).TrimEnd('/');
        return glance.StartsWith('/')
            ? new FileRoot(glance, new ForeignDirectory(here))
            : throw new CommandException($"'{glance}' is no absolute path.");
    }

    /// <summary>The path of a file from the directory; null when it is not below it.</summary>
    /// <param name="path">Its path where Glance runs.</param>
    public string? Below(string path) =>
        path.StartsWith(GlancePath + "/", StringComparison.Ordinal) ? path[(GlancePath.Length + 1)..] : null;
}
