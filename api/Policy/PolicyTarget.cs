using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Policy;

/// <summary>What a rule is asked about: the attributes that <c>%(name)s</c> stands for.</summary>
/// <param name="attributes">Attribute names and values; one that is not there fails every check that names it.</param>
public sealed class PolicyTarget(IReadOnlyDictionary<string, string?> attributes)
{
    /// <summary>A target without attributes.</summary>
    public static PolicyTarget None { get; } = new(new Dictionary<string, string?>());

    /// <summary>An attribute's text; null when there is none.</summary>
    public string? Find(string name) => attributes.GetValueOrDefault(name);

    /// <summary>The caller's own project, for what is not about anything that exists yet.</summary>
    public static PolicyTarget OfProject(string? projectId) => new(new Dictionary<string, string?>
    {
        ["project_id"] = projectId,
        ["owner"] = projectId,
    });

    /// <summary>A namespace of metadata definitions as Glance's rules see it.</summary>
    public static PolicyTarget OfNamespace(MetadefNamespace definitions) => new(new Dictionary<string, string?>
    {
        ["project_id"] = definitions.Owner,
        ["owner"] = definitions.Owner,
        ["visibility"] = definitions.IsPublic ? "public" : "private",
    });

    /// <summary>An image as Glance's rules see it.</summary>
    /// <param name="image">The image, with its additional attributes.</param>
    /// <param name="memberId">A project that the image is shared with, where one is meant; else null.</param>
    public static PolicyTarget OfImage(Image image, string? memberId = null)
    {
        var attributes = new Dictionary<string, string?>(StringComparer.Ordinal);
        foreach (var property in image.Properties)
        {
            attributes[property.Name] = property.Value;
        }

        attributes["project_id"] = image.Owner;
        attributes["owner"] = image.Owner;
        attributes["image_id"] = image.Id;
        attributes["name"] = image.Name;
        attributes["status"] = ImageStatuses.Name(image.Status);
        attributes["visibility"] = ImageVisibilities.Name(image.Visibility);
        attributes["disk_format"] = image.DiskFormat;
        attributes["container_format"] = image.ContainerFormat;
        attributes["protected"] = image.IsProtected ? "True" : "False";
        attributes["os_hidden"] = image.IsHidden ? "True" : "False";
        attributes["member_id"] = memberId;
        return new PolicyTarget(attributes);
    }
}
