using Registry.Api.Stores;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>The package in an OVA archive: the disk that its descriptor names, and what its manifest says. It is read
/// where it lies: no part of the archive is written anywhere.</summary>
internal sealed class OvaPackage
{
    private const int BufferBytes = 256 << 10;

    private readonly StoredBlob _blob;
    private readonly IReadOnlyList<TarMember> _members;
    private readonly ILookup<string, OvaDigest> _digests;

    private OvaPackage(
        StoredBlob blob, IReadOnlyList<TarMember> members, OvfDescriptor descriptor, TarMember disk,
        ILookup<string, OvaDigest> digests)
    {
        (_blob, _members, _digests) = (blob, members, digests);
        (Descriptor, Disk) = (descriptor, disk);
    }

    /// <summary>What the descriptor says.</summary>
    public OvfDescriptor Descriptor { get; }

    /// <summary>The file of the one disk.</summary>
    public TarMember Disk { get; }

    /// <summary>Reads the descriptor and the manifest of an archive.</summary>
    /// <param name="blob">The archive.</param>
    /// <param name="wanted">See <see cref="OvfDescriptor.Read"/>.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: it is damaged, or not an archive of one disk.</exception>
    public static async Task<OvaPackage> OpenAsync(
        StoredBlob blob, IReadOnlyCollection<string> wanted, CancellationToken cancellationToken)
    {
        var all = await TarIndex.ReadAsync(
            (offset, buffer, stop) => FillAsync(blob, offset, buffer, stop), blob.Length, cancellationToken);
        TarMember[] members = [.. all.Where(member => !OvaNames.IsAside(member.Name))];
        TarMember[] descriptors =
            [.. members.Where(m => m.Name.EndsWith(".ovf", StringComparison.OrdinalIgnoreCase))];
        if (descriptors is not [{ Length: <= OvfDescriptor.BytesMax } found])
        {
            throw Refused("it must hold exactly one descriptor (.ovf) of a sensible length", "descriptor");
        }

        var descriptor = OvfDescriptor.Read(await ReadAsync(blob, found, cancellationToken), wanted);
        var disk = OvaNames.Find(members, found.Name, descriptor.DiskName)
            ?? throw Refused("the disk that its descriptor names is not in it", "disk_missing");
        return new OvaPackage(
            blob, members, descriptor, disk, await DigestsAsync(blob, members, found.Name, cancellationToken));
    }

    /// <summary>Fills a buffer from the archive.</summary>
    /// <exception cref="RegistryException">ImageRejected: it ends before.</exception>
    public static async ValueTask FillAsync(
        StoredBlob blob, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (buffer.Length > 0)
        {
            var read = await blob.ReadAsync(offset, buffer, cancellationToken);
            if (read == 0)
            {
                throw Refused("it is cut off", "damaged");
            }

            buffer = buffer[read..];
            offset += read;
        }
    }

    /// <summary>Prepares to compare a member with the manifest.</summary>
    public OvaHash HashOf(TarMember member) => new(member.Name, [.. _digests[member.Name]]);

    /// <summary>Compares the members that the manifest names, except some, with it.</summary>
    /// <param name="isLeftOut">Whether a member is compared elsewhere.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: one has other bytes.</exception>
    public async Task RequireDigestsAsync(Func<TarMember, bool> isLeftOut, CancellationToken cancellationToken)
    {
        var buffer = new byte[BufferBytes];
        foreach (var member in _members.Where(member => _digests.Contains(member.Name) && !isLeftOut(member)))
        {
            using var hash = HashOf(member);
            for (var position = 0L; position < member.Length;)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, member.Length - position));
                await FillAsync(_blob, member.Offset + position, piece, cancellationToken);
                hash.Append(piece.Span);
                position += piece.Length;
            }

            hash.Require();
        }
    }

    // By the names of the members. What the archive does not have is not compared: makers list files that they leave
    // out.
    private static async Task<ILookup<string, OvaDigest>> DigestsAsync(
        StoredBlob blob, TarMember[] members, string descriptor, CancellationToken cancellationToken)
    {
        if (OvaManifest.Find(members, descriptor) is not { } manifest)
        {
            return Array.Empty<OvaDigest>().ToLookup(digest => digest.Name);
        }

        if (manifest.Length > OvaManifest.BytesMax)
        {
            throw OvaManifest.Refused("its manifest is too long");
        }

        return OvaManifest.Read(await ReadAsync(blob, manifest, cancellationToken))
            .Select(digest => (OvaNames.Find(members, manifest.Name, digest.Name)?.Name, Digest: digest))
            .Where(pair => pair.Name is not null)
            .ToLookup(pair => pair.Name!, pair => pair.Digest);
    }

    private static async Task<byte[]> ReadAsync(StoredBlob blob, TarMember member, CancellationToken cancellationToken)
    {
        var bytes = new byte[member.Length];
        await FillAsync(blob, member.Offset, bytes, cancellationToken);
        return bytes;
    }

    private static RegistryException Refused(string why, string reason) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_" + reason);
}
