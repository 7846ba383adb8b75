using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Engine.Inspect;
using Registry.Storage.Domain;

namespace Registry.Api.Adoption;

/// <summary>Makes images of ours from Glance's rows, held to the rules that clients are held to, and holds bytes to what
/// Glance knows of them.</summary>
internal static class AdoptedImages
{
    private const string AboutWorkOfGlance = "os_glance";

    /// <summary>Makes an image without bytes: queued, with everything that hangs on it, and Glance's times.</summary>
    /// <exception cref="RegistryException">BadRequest or Forbidden: something in the rows cannot be kept.</exception>
    public static Image Make(GlanceImage row, GlanceParts parts)
    {
        var image = Image.Create(ImageRules.Id(row.Id), ImageRules.Text("owner", row.Owner), row.CreatedAt);
        image.Name = ImageRules.Text("name", row.Name);
        image.Visibility = ImageRules.Visibility(row.Visibility);
        image.DiskFormat = ImageRules.DiskFormat(row.DiskFormat);
        image.ContainerFormat = ImageRules.ContainerFormat(row.ContainerFormat);
        image.MinDisk = ImageRules.Minimum("min_disk", row.MinDisk);
        image.MinRam = ImageRules.Minimum("min_ram", row.MinRam);
        image.IsProtected = row.IsProtected;
        image.IsHidden = row.IsHidden;
        AddParts(image, parts);
        image.Touch(row.UpdatedAt);
        return image;
    }

    /// <summary>Makes an image with bytes: active or deactivated. What Glance did not know of them is filled
    /// in.</summary>
    /// <exception cref="RegistryException">BadRequest or Forbidden: something in the rows cannot be kept.</exception>
    public static Image Make(GlanceImage row, GlanceParts parts, TakenBlob blob)
    {
        var image = Make(row, parts);
        var (summary, disk, root) = blob;
        var found = UploadVerdict.Judge(image.DiskFormat!, image.ContainerFormat, summary.Inspection);
        var hasHash = HasHash(row);
        image.Activate(
            new UploadResult
            {
                Size = summary.Length,
                VirtualSize = row.VirtualSize ?? disk?.VirtualSize ?? found.VirtualSize,
                Checksum = summary.Md5,
                HashAlgorithm = hasHash ? row.HashAlgorithm! : "sha512",
                HashValue = hasHash ? row.HashValue! : summary.Sha512,
                NestedReference = disk?.Nested,
                IndexLength = root.IndexLength,
                IndexDigest = root.IndexDigest,
            },
            row.UpdatedAt);
        if (row.Status == "deactivated")
        {
            image.Deactivate(row.UpdatedAt);
        }

        return image;
    }

    /// <summary>Prepares to compute the secure hash that Glance has of an image, where that is not computed
    /// anyway.</summary>
    /// <exception cref="RegistryException">BadRequest: it cannot be computed here.</exception>
    public static void PrepareHash(GlanceImage row, SourceBytes source)
    {
        if (!HasHash(row) || row.HashAlgorithm is "sha512" or "md5")
        {
            return;
        }

        source.Hash(ImageHashes.Find(row.HashAlgorithm) ?? throw new RegistryException(
            ErrorCode.BadRequest,
            $"Its hash is a {ImageRules.Shown(row.HashAlgorithm!)}, which cannot be verified here.", "hash_unknown"));
    }

    /// <summary>Compares what was read with what Glance knows.</summary>
    /// <exception cref="RegistryException">DataCorrupt: the bytes are others.</exception>
    public static void Verify(GlanceImage row, UploadSummary summary, SourceBytes source)
    {
        if (!string.IsNullOrEmpty(row.Checksum))
        {
            Compare("MD5", row.Checksum, summary.Md5);
        }

        if (HasHash(row))
        {
            var read = row.HashAlgorithm switch
            {
                "sha512" => summary.Sha512,
                "md5" => summary.Md5,
                _ => source.Digest()!,
            };
            Compare(row.HashAlgorithm!, row.HashValue!, read);
        }
    }

    private static void Compare(string what, string expected, string read)
    {
        if (!expected.Equals(read, StringComparison.OrdinalIgnoreCase))
        {
            throw new RegistryException(
                ErrorCode.DataCorrupt,
                $"Its bytes are damaged: their {what} is {read}, and Glance knows {ImageRules.Shown(expected)}.",
                "checksum_mismatch");
        }
    }

    private static bool HasHash(GlanceImage row) =>
        !string.IsNullOrEmpty(row.HashAlgorithm) && !string.IsNullOrEmpty(row.HashValue);

    private static void AddParts(Image image, GlanceParts parts)
    {
        foreach (var (name, value) in parts.Properties)
        {
            // What Glance noted of its own imports would have clients wait for them.
            if (!name.StartsWith(AboutWorkOfGlance, StringComparison.Ordinal))
            {
                ImageRules.RequireNoNul(name, value);
                image.SetProperty(ImageRules.PropertyName(name), value);
            }
        }

        foreach (var tag in parts.Tags)
        {
            image.AddTag(ImageRules.Tag(tag));
        }

        foreach (var row in parts.Members)
        {
            var project = ImageRules.Text("member", row.Project)!;
            var member = image.Members.FirstOrDefault(m => m.MemberId == project)
                ?? image.AddMember(project, row.CreatedAt);
            member.Answer(
                MemberStatuses.TryParse(row.Status, out var status)
                    ? status
                    : throw ImageRules.Bad($"'{ImageRules.Shown(row.Status)}' is no status of a member."),
                row.UpdatedAt);
        }
    }
}
