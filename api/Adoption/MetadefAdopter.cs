using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Registry.Api.Images;
using Registry.Api.Metadefs;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Api.Adoption;

/// <summary>Takes metadata definitions from Glance, held to the rules that clients are held to.</summary>
internal sealed class MetadefAdopter(IDbContextFactory<RegistryDb> databases, MetadefEditor editor)
{
    private const string What = "namespace";

    /// <summary>Remembers a type of resources as Glance has it.</summary>
    /// <exception cref="RegistryException">BadRequest: its name cannot be kept.</exception>
    public Task RememberAsync(string type, DateTimeOffset createdAt, CancellationToken cancellationToken) =>
        editor.RememberAsync(
            new MetadefResourceType(MetadefFields.Name("name", type), createdAt), cancellationToken);

    /// <summary>Takes a namespace with everything in it, or says why not.</summary>
    /// <exception cref="RegistryException">It cannot be taken.</exception>
    public async Task<AdoptionLine> AdoptAsync(
        GlanceDatabase glance, GlanceNamespace row, bool isRehearsal, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        if (await db.MetadefNamespaces.AnyAsync(n => n.Name == row.Name, cancellationToken))
        {
            return new AdoptionLine(What, row.Name, Adopted.There, "it stays as it is");
        }

        var parts = await glance.DefinitionsAsync(row.Id, cancellationToken);
        var definitions = Make(row, parts);
        if (!isRehearsal)
        {
            await editor.CreateAsync(definitions, cancellationToken);
        }

        return new AdoptionLine(
            What, row.Name, Adopted.Taken,
            $"{parts.Properties.Count} properties, {parts.Objects.Count} objects, {parts.Tags.Count} tags, " +
            $"{parts.Associations.Count} resource types");
    }

    private static MetadefNamespace Make(GlanceNamespace row, GlanceDefinitions parts)
    {
        using var json = JsonDocument.Parse(Describe(row, parts).ToJsonString());
        var draft = MetadefReader.Namespace(json.RootElement, isFile: true);
        var made = MetadefNamespace.Create(draft.Settings, row.CreatedAt);
        made.Replace(draft.Settings, row.UpdatedAt);
        foreach (var ((name, schema), part) in draft.Properties.Zip(parts.Properties))
        {
            made.AddProperty(name, schema, part.CreatedAt);
            made.ReplaceProperty(name, name, schema, part.UpdatedAt);
        }

        foreach (var (content, part) in draft.Objects.Zip(parts.Objects))
        {
            made.AddObject(content, part.CreatedAt);
            made.ReplaceObject(content.Name, content, part.UpdatedAt);
        }

        foreach (var (name, part) in draft.Tags.Zip(parts.Tags))
        {
            made.AddTag(name, part.CreatedAt);
            made.RenameTag(name, name, part.UpdatedAt);
        }

        foreach (var (association, part) in draft.Associations.Zip(parts.Associations))
        {
            made.Associate(association.Name, association.Prefix, association.PropertiesTarget, part.CreatedAt);
        }

        return made;
    }

    // As a client would write it, so that one reader judges both.
    private static JsonObject Describe(GlanceNamespace row, GlanceDefinitions parts)
    {
        var properties = new JsonObject();
        foreach (var property in parts.Properties)
        {
            if (!properties.TryAdd(property.Name, Schema(property) ?? new JsonObject()))
            {
                throw ImageRules.Bad($"Property {ImageRules.Shown(property.Name)} is there twice.");
            }
        }

        return Said(new JsonObject
        {
            ["namespace"] = row.Name,
            ["display_name"] = row.DisplayName,
            ["description"] = row.Description,
            ["visibility"] = row.Visibility,
            ["protected"] = row.IsProtected,
            ["owner"] = row.Owner,
            ["properties"] = properties,
            ["objects"] = new JsonArray([.. parts.Objects.Select(o => Said(new JsonObject
            {
                ["name"] = o.Name,
                ["description"] = o.Description,
                ["required"] = string.IsNullOrEmpty(o.Required)
                    ? null
                    : new JsonArray([.. o.Required.Split(',').Select(name => JsonValue.Create(name))]),
                ["properties"] = Schema(o),
            }))]),
            ["tags"] = new JsonArray([.. parts.Tags.Select(t => new JsonObject { ["name"] = t.Name })]),
            ["resource_type_associations"] = new JsonArray([.. parts.Associations.Select(a => Said(new JsonObject
            {
                ["name"] = a.Type,
                ["prefix"] = a.Prefix,
                ["properties_target"] = a.PropertiesTarget,
            }))]),
        });
    }

    private static JsonNode? Schema(GlanceDefinition definition)
    {
        try
        {
            return string.IsNullOrEmpty(definition.Schema)
                ? null
                : JsonNode.Parse(
                    definition.Schema, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException)
        {
            throw ImageRules.Bad($"The definition of {ImageRules.Shown(definition.Name)} is no JSON.");
        }
    }

    // What is null was not said.
    private static JsonObject Said(JsonObject from)
    {
        foreach (var name in from.Where(p => p.Value is null).Select(p => p.Key).ToList())
        {
            from.Remove(name);
        }

        return from;
    }
}
