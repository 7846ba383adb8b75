using System.Collections.Concurrent;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>Looks through the texts of messages.</summary>
internal static class GrpcTexts
{
    // The fields that are or hold texts: data and numbers are passed over.
    private static readonly ConcurrentDictionary<MessageDescriptor, FieldDescriptor[]> Fields = new();

    /// <summary>Refuses a message with U+0000 in a text, which PostgreSQL cannot keep.</summary>
    /// <exception cref="RegistryException">BadRequest; it names the field.</exception>
    public static void RequireNoNul(IMessage message)
    {
        foreach (var field in Fields.GetOrAdd(message.Descriptor, TextsOf))
        {
            RequireNoNul(field, field.Accessor.GetValue(message));
        }
    }

    private static FieldDescriptor[] TextsOf(MessageDescriptor message) =>
        [.. message.Fields.InDeclarationOrder().Where(field => field.FieldType is FieldType.String or FieldType.Message)];

    private static void RequireNoNul(FieldDescriptor field, object? value)
    {
        switch (value)
        {
            case string text:
                ImageRules.RequireNoNul(field.Name, text);
                break;
            case IMessage message:
                RequireNoNul(message);
                break;
            case System.Collections.IDictionary map:
                foreach (System.Collections.DictionaryEntry entry in map)
                {
                    RequireNoNul(field, entry.Key);
                    RequireNoNul(field, entry.Value);
                }

                break;
            case System.Collections.IEnumerable list:
                foreach (var one in list)
                {
                    RequireNoNul(field, one);
                }

                break;
        }
    }
}
