using System.Text.Json.Nodes;

namespace Registry.Api.Schemas;

/// <summary>The JSON schemas of tasks and their lists.</summary>
internal static class TaskSchema
{
    /// <summary>The schema of one task.</summary>
    public static JsonObject Task() => new()
    {
        ["name"] = "task",
        ["properties"] = Properties(isWhole: true),
    };

    /// <summary>The schema of a list of tasks.</summary>
    public static JsonObject Tasks() => new()
    {
        ["name"] = "tasks",
        ["properties"] = new JsonObject
        {
            ["tasks"] = new JsonObject
            {
                ["type"] = "array",
                ["items"] = new JsonObject { ["name"] = "task", ["properties"] = Properties(isWhole: false) },
            },
            ["schema"] = new JsonObject { ["type"] = "string" },
            ["first"] = new JsonObject { ["type"] = "string" },
            ["next"] = new JsonObject { ["type"] = "string" },
        },
        ["links"] = new JsonArray(
            new JsonObject { ["rel"] = "first", ["href"] = "{first}" },
            new JsonObject { ["rel"] = "next", ["href"] = "{next}" },
            new JsonObject { ["rel"] = "describedby", ["href"] = "{schema}" }),
    };

    private static JsonObject Properties(bool isWhole)
    {
        var properties = new JsonObject
        {
            ["id"] = Typed("An identifier for the task.", "string"),
            ["type"] = Words("The type of the task.", "import", "api_image_import", "location_import"),
            ["status"] = Words("Where the task is.", "pending", "processing", "success", "failure"),
            ["owner"] = Typed("The project that asked for the task.", "null", "string"),
            ["created_at"] = Typed("When the task was asked for.", "string"),
            ["updated_at"] = Typed("When the task last changed.", "string"),
            ["expires_at"] = Typed("When the task is forgotten.", "null", "string"),
            ["image_id"] = Typed("The image of the task.", "null", "string"),
            ["request_id"] = Typed("The request that asked for the task.", "null", "string"),
            ["user_id"] = Typed("The user that asked for the task.", "null", "string"),
            ["self"] = Typed("Path of the task.", "string"),
            ["schema"] = Typed("Path of this schema.", "string"),
        };
        if (isWhole)
        {
            properties["input"] = Typed("What the task was asked to do.", "null", "object");
            properties["result"] = Typed("What the task came to.", "null", "object");
            properties["message"] = Typed("How far the task is, or why it failed.", "string");
        }

        return properties;
    }

    private static JsonObject Typed(string description, params string[] types) => new()
    {
        ["description"] = description,
        ["type"] = types is [var only] ? only : new JsonArray([.. types.Select(type => (JsonNode)type)]),
    };

    private static JsonObject Words(string description, params string[] words)
    {
        var schema = Typed(description, "string");
        schema["enum"] = new JsonArray([.. words.Select(word => (JsonNode)word)]);
        return schema;
    }
}
