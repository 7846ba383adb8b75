using Registry.Api.Auth;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Policy;

/// <summary>What a rule is asked about: the attributes that <c>%(name)s</c> stands for.</summary>
/// <remarks>Attributes are looked up when a rule names them: lists ask about every image.</remarks>
public sealed class PolicyTarget
{
    private readonly Func<string, string?> _find;

    private PolicyTarget(Func<string, string?> find) => _find = find;

    /// <summary>A target with the given attributes.</summary>
    /// <param name="attributes">Attribute names and values; one that is not there fails every check that names it.</param>
    public PolicyTarget(IReadOnlyDictionary<string, string?> attributes)
        : this(name => attributes.GetValueOrDefault(name))
    {
    }

    /// <summary>A target without attributes.</summary>
    public static PolicyTarget None { get; } = new(_ => null);

    /// <summary>An attribute's text; null when there is none.</summary>
    public string? Find(string name) => _find(name);

    /// <summary>Whether the target is the caller itself: then a project that the caller has not got is the same as the
    /// one that the target has not got.</summary>
    public bool IsCaller { get; private init; }

    /// <summary>A project, for what is not an image.</summary>
    public static PolicyTarget OfProject(string? projectId) =>
        new(name => name is "project_id" or "owner" ? projectId : null);

    /// <summary>The caller's own project, for what is not about anything that exists yet.</summary>
    public static PolicyTarget OfCaller(Caller caller) =>
        new(name => name is "project_id" or "owner" ? caller.ProjectId ?? CallerAttributes.None : null) { IsCaller = true };

    /// <summary>A namespace of metadata definitions as Glance's rules see it.</summary>
    public static PolicyTarget OfNamespace(MetadefNamespace definitions) => new(name => name switch
    {
        "project_id" or "owner" => definitions.Owner,
        "visibility" => definitions.IsPublic ? "public" : "private",
        _ => null,
    });

    /// <summary>An image as Glance's rules see it.</summary>
    /// <param name="image">The image, with its additional attributes.</param>
    /// <param name="memberId">A project that the image is shared with, where one is meant; else null.</param>
    public static PolicyTarget OfImage(Image image, string? memberId = null) => new(name => name switch
    {
        "project_id" or "owner" => image.Owner,
        "image_id" => image.Id,
        "name" => image.Name,
        "status" => ImageStatuses.Name(image.Status),
        "visibility" => ImageVisibilities.Name(image.Visibility),
        "disk_format" => image.DiskFormat,
        "container_format" => image.ContainerFormat,
        "protected" => image.IsProtected ? "True" : "False",
        "os_hidden" => image.IsHidden ? "True" : "False",
        "member_id" => memberId,
        _ => image.FindProperty(name),
    });
}
