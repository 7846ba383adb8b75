using Registry.Api.Cli;
using Registry.Engine.Bytes;

namespace Registry.Api.Tests.Cli;

/// <summary>What an interrupted provision leaves.</summary>
internal static class Leftover
{
    /// <summary>Writes content with a mark.</summary>
    /// <param name="path">The unfinished file, or a block device.</param>
    /// <param name="mark">What it is to become, and how far it is.</param>
    /// <param name="content">Its content; the mark takes the place of the first bytes.</param>
    /// <param name="key">The key that authenticates the mark; null for this user's.</param>
    public static async Task WriteAsync(string path, ProvisionMark mark, byte[] content, ResumeKey? key = null)
    {
        var stop = TestContext.Current.CancellationToken;
        if (FileKinds.Of(path) == FileKind.Missing)
        {
            await File.WriteAllBytesAsync(path, [], stop);
        }

        await using var file = FileBytes.OpenWrite(path);
        await file.WriteAsync(0, content, stop);
        var sector = new byte[512];
        mark.ToBytes(key ?? await ResumeKey.OfThisUserAsync(stop), file.Identity()).CopyTo(sector, 0);
        await file.WriteAsync(0, sector, stop);
        await file.FlushAsync(stop);
    }
}
