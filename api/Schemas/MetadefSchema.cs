using System.Text.Json.Nodes;

namespace Registry.Api.Schemas;

/// <summary>The JSON schemas of metadata definitions and their lists (spec/glance-v2.md, 11). Clients build their models
/// from them and hold both what they send and what they get to them.</summary>
internal static class MetadefSchema
{
    private const int NameLengthMax = 80;
    private const int DescriptionLengthMax = 500;
    private const int OwnerLengthMax = 255;

    /// <summary>All of them: names below <c>metadefs/</c>, and schemas.</summary>
    public static IEnumerable<(string Name, JsonObject Schema)> All()
    {
        yield return ("namespace", Namespace());
        yield return ("namespaces", List("namespaces", Namespace()));
        yield return ("resource_type", Association());
        yield return ("resource_types", List("resource_type_associations", Association()));
        yield return ("property", Property(isNamed: true));
        yield return ("properties", Dictionary("properties", Property(isNamed: false)));
        yield return ("object", Object());
        yield return ("objects", List("objects", Object()));
        yield return ("tag", Tag());
        yield return ("tags", List("tags", Tag()));
    }

    private static JsonObject Namespace() => Closed(
        "namespace",
        ["namespace"],
        new JsonObject
        {
            ["namespace"] = Text("The name, unique in this registry.", NameLengthMax),
            ["display_name"] = Text("The name for people.", NameLengthMax),
            ["description"] = Text("What the definitions are about.", DescriptionLengthMax),
            ["visibility"] = new JsonObject
            {
                ["type"] = "string",
                ["description"] = "Who sees it.",
                ["enum"] = new JsonArray("public", "private"),
            },
            ["protected"] = Typed("boolean", "If true, nothing of the namespace can be deleted."),
            ["owner"] = Text("The owning project.", OwnerLengthMax),
            ["created_at"] = Time("When the namespace was made."),
            ["updated_at"] = Time("When the namespace last changed."),
            ["schema"] = ReadOnly(Typed("string", "Path of this schema.")),
            ["self"] = ReadOnly(Typed("string", "Path of the namespace.")),
            ["resource_type_associations"] = ArrayOf(new JsonObject
            {
                ["type"] = "object",
                ["properties"] = new JsonObject
                {
                    ["name"] = Typed("string"),
                    ["prefix"] = Typed("string"),
                    ["properties_target"] = Typed("string"),
                },
            }),
            ["properties"] = Reference("property"),
            ["objects"] = ArrayOf(new JsonObject
            {
                ["type"] = "object",
                ["properties"] = new JsonObject
                {
                    ["name"] = Typed("string"),
                    ["description"] = Typed("string"),
                    ["required"] = Reference("stringArray"),
                    ["properties"] = Reference("property"),
                },
            }),
            ["tags"] = ArrayOf(new JsonObject
            {
                ["type"] = "object",
                ["properties"] = new JsonObject { ["name"] = Typed("string") },
            }),
        },
        Definitions(withProperty: true));

    private static JsonObject Association() => Closed(
        "resource_type_association",
        ["name"],
        new JsonObject
        {
            ["name"] = Text("The type of resources; the names of Heat's types are used where there is one.", NameLengthMax),
            ["prefix"] = Text(
                "What names of properties begin with on such a resource, its separator included.", NameLengthMax),
            ["properties_target"] = Text(
                "Which of the resource's metadata is meant, for types that have more than one kind.", NameLengthMax),
            ["created_at"] = Time("When the association was made."),
            ["updated_at"] = Time("When the association last changed."),
        });

    private static JsonObject Object() => Closed(
        "object",
        ["name"],
        new JsonObject
        {
            ["name"] = new JsonObject { ["type"] = "string", ["maxLength"] = NameLengthMax },
            ["description"] = Typed("string"),
            ["required"] = Reference("stringArray"),
            ["properties"] = Reference("property"),
            ["schema"] = ReadOnly(Typed("string")),
            ["self"] = ReadOnly(Typed("string")),
            ["created_at"] = Time("When the object was added."),
            ["updated_at"] = Time("When the object last changed."),
        },
        Definitions(withProperty: true));

    private static JsonObject Tag() => Closed(
        "tag",
        ["name"],
        new JsonObject
        {
            ["name"] = new JsonObject { ["type"] = "string", ["maxLength"] = NameLengthMax },
            ["created_at"] = Time("When the tag was added."),
            ["updated_at"] = Time("When the tag last changed."),
        });

    private static JsonObject Property(bool isNamed) => Closed(
        "property", isNamed ? ["title", "type", "name"] : ["title", "type"], PropertyAttributes(),
        Definitions(withProperty: false));

    private static JsonObject PropertyAttributes() => new()
    {
        ["name"] = Typed("string"),
        ["title"] = Typed("string"),
        ["description"] = Typed("string"),
        ["operators"] = ArrayOf(Typed("string")),
        ["type"] = TypeName(),
        ["required"] = Reference("stringArray"),
        ["minimum"] = Typed("number"),
        ["maximum"] = Typed("number"),
        ["maxLength"] = Reference("positiveInteger"),
        ["minLength"] = Reference("positiveIntegerDefault0"),
        ["pattern"] = new JsonObject { ["type"] = "string", ["format"] = "regex" },
        ["enum"] = Typed("array"),
        ["readonly"] = Typed("boolean"),
        ["default"] = new JsonObject(),
        ["items"] = new JsonObject
        {
            ["type"] = "object",
            ["properties"] = new JsonObject { ["type"] = TypeName(), ["enum"] = Typed("array") },
        },
        ["maxItems"] = Reference("positiveInteger"),
        ["minItems"] = Reference("positiveIntegerDefault0"),
        ["uniqueItems"] = new JsonObject { ["type"] = "boolean", ["default"] = false },
        ["additionalItems"] = Typed("boolean"),
    };

    private static JsonObject Definitions(bool withProperty)
    {
        var definitions = new JsonObject
        {
            ["positiveInteger"] = new JsonObject { ["type"] = "integer", ["minimum"] = 0 },
            ["positiveIntegerDefault0"] = new JsonObject
            {
                ["allOf"] = new JsonArray(Reference("positiveInteger"), new JsonObject { ["default"] = 0 }),
            },
            ["stringArray"] = new JsonObject
            {
                ["type"] = "array",
                ["items"] = Typed("string"),
                ["uniqueItems"] = true,
            },
        };
        if (withProperty)
        {
            definitions["property"] = new JsonObject
            {
                ["type"] = "object",
                ["additionalProperties"] = new JsonObject
                {
                    ["type"] = "object",
                    ["required"] = new JsonArray("title", "type"),
                    ["properties"] = PropertyAttributes(),
                },
            };
        }

        return definitions;
    }

    private static JsonObject TypeName() => new()
    {
        ["type"] = "string",
        ["enum"] = new JsonArray("array", "boolean", "integer", "number", "object", "string", null),
    };

    private static JsonObject Closed(
        string name, string[] required, JsonObject properties, JsonObject? definitions = null)
    {
        var schema = new JsonObject
        {
            ["name"] = name,
            ["properties"] = properties,
            ["required"] = new JsonArray([.. required.Select(r => (JsonNode)r)]),
            ["additionalProperties"] = false,
        };
        if (definitions is not null)
        {
            schema["definitions"] = definitions;
        }

        return schema;
    }

    private static JsonObject List(string name, JsonObject item)
    {
        var schema = Collection(name, ArrayOf(item), item);
        schema["links"] = new JsonArray(
            new JsonObject { ["rel"] = "first", ["href"] = "{first}" },
            new JsonObject { ["rel"] = "next", ["href"] = "{next}" },
            new JsonObject { ["rel"] = "describedby", ["href"] = "{schema}" });
        return schema;
    }

    private static JsonObject Dictionary(string name, JsonObject item) => Collection(
        name, new JsonObject { ["type"] = "object", ["additionalProperties"] = item }, item);

    // References are looked up from the top of a schema, so the definitions of its items have to be there.
    private static JsonObject Collection(string name, JsonObject items, JsonObject item)
    {
        var schema = new JsonObject
        {
            ["name"] = name,
            ["properties"] = new JsonObject
            {
                [name] = items,
                ["first"] = Typed("string"),
                ["next"] = Typed("string"),
                ["schema"] = Typed("string"),
            },
        };
        if (item["definitions"] is { } definitions)
        {
            schema["definitions"] = definitions.DeepClone();
        }

        return schema;
    }

    private static JsonObject Reference(string definition) => new() { ["$ref"] = $"#/definitions/{definition}" };

    private static JsonObject ArrayOf(JsonObject items) => new() { ["type"] = "array", ["items"] = items };

    private static JsonObject Typed(string type) => new() { ["type"] = type };

    private static JsonObject Typed(string type, string description) =>
        new() { ["type"] = type, ["description"] = description };

    private static JsonObject Text(string description, int lengthMax)
    {
        var schema = Typed("string", description);
        schema["maxLength"] = lengthMax;
        return schema;
    }

    private static JsonObject Time(string description)
    {
        var schema = ReadOnly(Typed("string", description));
        schema["format"] = "date-time";
        return schema;
    }

    private static JsonObject ReadOnly(JsonObject schema)
    {
        schema["readOnly"] = true;
        return schema;
    }
}
