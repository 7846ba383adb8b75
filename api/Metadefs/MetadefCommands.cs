using Microsoft.EntityFrameworkCore;
using Registry.Api.Auth;
using Registry.Api.Policy;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Api.Metadefs;

/// <summary>What callers may do with metadata definitions (spec/glance-v2.md, 11). A namespace that a caller may not see
/// does not exist for it.</summary>
internal sealed class MetadefCommands(
    IDbContextFactory<RegistryDb> databases, MetadefEditor editor, PolicyEngine policy, TimeProvider clock)
{
    /// <summary>Lists a page of namespaces, with their types of resources.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound for an unknown marker.</exception>
    public async Task<IReadOnlyList<MetadefNamespace>> ListAsync(
        Caller caller, MetadefListRequest request, CancellationToken cancellationToken)
    {
        policy.RequireList(caller, "get_metadef_namespaces");
        policy.RequireList(caller, "list_metadef_resource_types"); // they are shown with the namespaces
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await MetadefQueries.ListAsync(db, request, caller.Viewer, cancellationToken);
    }

    /// <summary>Whether a listed namespace is one that the caller may be shown.</summary>
    public bool IsShown(Caller caller, MetadefNamespace definitions) =>
        policy.Allows(caller, "get_metadef_namespace", PolicyTarget.OfNamespace(definitions));

    /// <summary>Lists the types of resources that were ever named.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public async Task<IReadOnlyList<MetadefResourceType>> ListResourceTypesAsync(
        Caller caller, CancellationToken cancellationToken)
    {
        policy.RequireList(caller, "list_metadef_resource_types");
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await MetadefQueries.ListResourceTypesAsync(db, cancellationToken);
    }

    /// <summary>Loads a namespace with everything in it.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="name">The namespace.</param>
    /// <param name="rules">Glance's names of what is done with it.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden.</exception>
    public async Task<MetadefNamespace> GetAsync(
        Caller caller, string name, string[] rules, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var definitions =
            await MetadefQueries.FindAsync(db, name, caller.Viewer, tracking: false, cancellationToken)
            ?? throw MetadefQueries.NotFound(name);
        policy.Require(caller, rules, definitions);
        return definitions;
    }

    /// <summary>Loads a namespace for a list of its parts of one kind.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="name">The namespace.</param>
    /// <param name="rule">Glance's name of the list.</param>
    /// <param name="partRule">Glance's name of a look at a single part.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <returns>The namespace, and whether the caller may be shown its parts: the list is empty where not.</returns>
    /// <exception cref="RegistryException">NotFound, Forbidden.</exception>
    public async Task<(MetadefNamespace Definitions, bool IsShown)> GetForListAsync(
        Caller caller, string name, string rule, string partRule, CancellationToken cancellationToken)
    {
        var definitions = await GetAsync(caller, name, [rule], cancellationToken);
        return (definitions, policy.Allows(caller, partRule, PolicyTarget.OfNamespace(definitions)));
    }

    /// <summary>Makes a namespace with everything in it, or nothing at all.</summary>
    /// <exception cref="RegistryException">Forbidden; Conflict for a name that is in use, or one twice in the
    /// draft.</exception>
    public async Task<MetadefNamespace> CreateAsync(
        Caller caller, NamespaceDraft draft, CancellationToken cancellationToken)
    {
        var definitions = Make(draft with { Settings = Owned(caller, draft.Settings) }, clock.GetUtcNow());
        policy.RequireChange(caller, ["add_metadef_namespace", .. RulesOfParts(draft)], definitions);
        await editor.CreateAsync(definitions, cancellationToken);
        return definitions;
    }

    /// <summary>Replaces the attributes of a namespace; what is not said gets its default.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden; Conflict for a name that is in use.</exception>
    public Task<MetadefNamespace> ReplaceAsync(
        Caller caller, string name, NamespaceDraft draft, CancellationToken cancellationToken) => ChangeAsync(
        caller, name, ["modify_metadef_namespace"],
        (definitions, now) =>
        {
            definitions.Replace(Owned(caller, draft.Settings), now);
            policy.RequireOwner(caller, definitions);
            return definitions;
        },
        cancellationToken);

    /// <summary>Deletes a namespace with everything in it.</summary>
    /// <exception cref="RegistryException">NotFound, Forbidden, Protected.</exception>
    public Task DeleteAsync(Caller caller, string name, CancellationToken cancellationToken) => editor.DeleteAsync(
        name, caller.Viewer,
        definitions => policy.RequireChange(caller, ["delete_metadef_namespace"], definitions),
        cancellationToken);

    /// <summary>Changes what is in a namespace.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="name">The namespace.</param>
    /// <param name="rules">Glance's names of what is done.</param>
    /// <param name="change">Changes it and returns what the answer is about; may run again on a fresh copy.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden, and what <paramref name="change"/> throws.</exception>
    public async Task<T> ChangeAsync<T>(
        Caller caller,
        string name,
        string[] rules,
        Func<MetadefNamespace, DateTimeOffset, T> change,
        CancellationToken cancellationToken)
    {
        T? changed = default;
        await editor.ChangeAsync(
            name, caller.Viewer,
            definitions =>
            {
                policy.RequireChange(caller, rules, definitions);
                changed = change(definitions, clock.GetUtcNow());
            },
            cancellationToken);
        return changed!;
    }

    /// <summary>Makes a namespace from a draft.</summary>
    /// <exception cref="RegistryException">Conflict for a name twice in the draft.</exception>
    public static MetadefNamespace Make(NamespaceDraft draft, DateTimeOffset now)
    {
        var definitions = MetadefNamespace.Create(draft.Settings, now);
        foreach (var association in draft.Associations)
        {
            definitions.Associate(association.Name, association.Prefix, association.PropertiesTarget, now);
        }

        foreach (var (property, schema) in draft.Properties)
        {
            definitions.AddProperty(property, schema, now);
        }

        foreach (var content in draft.Objects)
        {
            definitions.AddObject(content, now);
        }

        foreach (var tag in draft.Tags)
        {
            definitions.AddTag(tag, now);
        }

        return definitions;
    }

    private static IEnumerable<string> RulesOfParts(NamespaceDraft draft)
    {
        if (draft.Associations.Count > 0)
        {
            yield return "add_metadef_resource_type_association";
        }

        if (draft.Properties.Count > 0)
        {
            yield return "add_metadef_property";
        }

        if (draft.Objects.Count > 0)
        {
            yield return "add_metadef_object";
        }

        if (draft.Tags.Count > 0)
        {
            yield return "add_metadef_tag";
        }
    }

    private static MetadefSettings Owned(Caller caller, MetadefSettings settings) =>
        settings with { Owner = settings.Owner ?? caller.ProjectId };
}
