using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Checks the metadata of qcow2 images as <c>qemu-img check</c> does, with the same counts.</summary>
/// <remarks>Needs no passphrase, no backing and no data file: content is not looked at. Work and memory follow the
/// size of the file, whatever is in it.</remarks>
public static class QcowCheck
{
    /// <summary>Counts every reference in the image and compares with what it stores.</summary>
    /// <param name="source">The image; stays the caller's.</param>
    /// <param name="cancellationToken">Cancels the check.</param>
    /// <returns>What was found.</returns>
    /// <exception cref="ImageFormatException">The image cannot be checked: it is not qcow2, needs a feature that is not
    /// known, its header, bitmap directory or snapshot table is malformed, or its tables overlap beyond the
    /// budget.</exception>
    /// <exception cref="IOException">The image could not be read.</exception>
    public static async ValueTask<QcowCheckReport> CheckAsync(IByteSource source, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        var audit = await ImageAudit.RunAsync(source, cancellationToken).ConfigureAwait(false);
        return audit.Report();
    }
}
