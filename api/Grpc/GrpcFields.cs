using System.Collections;
using System.Collections.Concurrent;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>Checks the fields of requests: no text has U+0000, which PostgreSQL cannot keep, and no number is negative, as each is
/// a count, a size or an offset.</summary>
/// <remarks>Fields are found in the descriptors, so that a field that is added to a message later is checked as well.</remarks>
internal static class GrpcFields
{
    // Image data is passed over.
    private static readonly ConcurrentDictionary<MessageDescriptor, FieldDescriptor[]> Checked = new();

    /// <summary>Checks a message and the messages in it.</summary>
    /// <exception cref="RegistryException">BadRequest; it names the field.</exception>
    public static void Require(IMessage message)
    {
        foreach (var field in Checked.GetOrAdd(message.Descriptor, FieldsOf))
        {
            Require(field, field.Accessor.GetValue(message));
        }
    }

    private static FieldDescriptor[] FieldsOf(MessageDescriptor message) =>
    [
        .. message.Fields.InDeclarationOrder().Where(field => field.FieldType is FieldType.String or FieldType.Message
            or FieldType.Int32 or FieldType.Int64 or FieldType.SInt32 or FieldType.SInt64 or FieldType.SFixed32 or FieldType.SFixed64),
    ];

    private static void Require(FieldDescriptor field, object? value)
    {
        switch (value)
        {
            case string text:
                ImageRules.RequireNoNul(field.Name, text);
                break;
            case int and < 0 or long and < 0:
                throw new RegistryException(
                    ErrorCode.BadRequest, $"{field.Name} is {value}; it must be 0 or more.", "negative_number");
            case IMessage message:
                Require(message);
                break;
            case IDictionary map:
                foreach (DictionaryEntry entry in map)
                {
                    Require(field, entry.Key);
                    Require(field, entry.Value);
                }

                break;
            case IEnumerable list:
                foreach (var one in list)
                {
                    Require(field, one);
                }

                break;
        }
    }
}
