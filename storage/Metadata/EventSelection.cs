using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Which of the things that happen are noted, for <see cref="EventOutbox"/>.</summary>
public sealed class EventSelection
{
    /// <summary>Everything that can happen, in Glance's words (spec/glance-v2.md, 9). Those that end in <c>error</c> are
    /// what Glance tells under the same name at error level. <c>image.damaged</c> is the registry's own.</summary>
    public static readonly IReadOnlyList<string> Types =
    [
        "image.create", "image.prepare", "image.upload", "image.upload.error", "image.activate", "image.update",
        "image.delete", "image.damaged", "image.send", "image.send.error", "image.member.create",
        "image.member.update", "image.member.delete",
        "task.create", "task.run", "task.processing", "task.success", "task.failure",
        "metadef_namespace.create", "metadef_namespace.update", "metadef_namespace.delete",
        "metadef_namespace.delete_objects", "metadef_namespace.delete_properties", "metadef_namespace.delete_tags",
        "metadef_object.create", "metadef_object.update", "metadef_object.delete", "metadef_property.create",
        "metadef_property.update", "metadef_property.delete", "metadef_tag.create", "metadef_tag.update",
        "metadef_tag.delete", "metadef_resource_type.create", "metadef_resource_type.delete",
    ];

    private readonly HashSet<string> _wanted;

    /// <summary>Everything but some.</summary>
    /// <param name="disabled">Types, or what they begin with: <c>image.member</c> stands for all of
    /// <c>image.member.create</c> and so on.</param>
    public EventSelection(IReadOnlyCollection<string> disabled) =>
        _wanted = [.. Types.Where(type => !disabled.Any(word => Means(word, type)))];

    /// <summary>Glance's word for the kind of task that a job is; null for a job that is none.</summary>
    public Func<Job, string?> TaskType { get; init; } = _ => null;

    /// <summary>How long a task that has ended can be asked for.</summary>
    public TimeSpan TasksKept { get; init; } = TimeSpan.FromHours(48);

    /// <summary>Whether a word stands for anything that can happen.</summary>
    public static bool IsKnown(string word) => Types.Any(type => Means(word, type));

    /// <summary>Whether something is noted.</summary>
    public bool Wants(string type) => _wanted.Contains(type);

    private static bool Means(string word, string type) =>
        type == word || type.StartsWith(word + ".", StringComparison.Ordinal);
}
