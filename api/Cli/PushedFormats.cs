using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;

namespace Registry.Api.Cli;

/// <summary>What a file is registered as: what the user states, or what it is recognised as. What is not recognised is
/// a plain disk; what certainly is not one is never taken for one.</summary>
internal static class PushedFormats
{
    private const string Bare = "bare";

    /// <summary>Finds the formats of a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="disk">The disk format that was stated; null for none.</param>
    /// <param name="container">The container format that was stated; null for none.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="CommandException">The disk format has to be stated.</exception>
    public static async Task<(string Disk, string Container)> OfAsync(
        FileBytes file, string name, string? disk, string? container, CancellationToken cancellationToken)
    {
        if (disk is not null && container is not null)
        {
            return (disk, container);
        }

        var found = await FormatInspector.InspectAsync(file, cancellationToken);
        if (disk is not null)
        {
            return (disk, await ContainerOfAsync(found, name));
        }

        var format = found.Format switch
        {
            DiskFormat.Gpt => DiskFormat.Raw,
            DiskFormat.Luks => throw Unstated(name, "a LUKS volume", "-f luks, or -f raw for a disk that is one"),
            DiskFormat.Qed => throw new CommandException(
                $"{name} is a QED image, which is not accepted: convert it to qcow2. (format_banned)"),
            DiskFormat.Raw when found.Other is { } other => throw Unstated(
                name, $"not a disk image ({other.Name}): {other.Advice}", "-f, with the format of the disk in it"),
            var recognised => recognised,
        };
        return (FormatNames.Of(format), container ?? Bare);
    }

    // Archives and compressed bytes are never registered as those of a disk: that would be an image that does not boot.
    private static async Task<string> ContainerOfAsync(Inspection found, string name)
    {
        if (found is not { Format: DiskFormat.Raw, Other: { Kind: not OtherContentKind.Image } other })
        {
            return Bare;
        }

        var (what, container) = other.Kind == OtherContentKind.Compressed
            ? ("compressed", "compressed")
            : ("an archive", OtherContent.Ova);
        await Console.Error.WriteLineAsync(Terminal.Printable(
            $"registry: {name} is {what} ({other.Name}): it is registered with container_format {container}"));
        return container;
    }

    private static CommandException Unstated(string name, string what, string option) =>
        new($"{name} is {what}. To register it as it is, state its format: {option}. (not_a_disk)");
}
