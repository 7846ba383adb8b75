using Google.Protobuf;
using Google.Protobuf.Reflection;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>Rejects negative numbers in requests: every number that a client sends is a count, a size or an
/// offset.</summary>
/// <remarks>Fields are found by reflection, so that a field that is added to a message later is checked as well.</remarks>
internal static class GrpcNumbers
{
    private const int DepthMax = 16;

    /// <summary>Checks a message and the messages in it.</summary>
    /// <exception cref="RegistryException">BadRequest: a field is negative.</exception>
    public static void RequireNotNegative(IMessage message) => Require(message, DepthMax);

    private static void Require(IMessage? message, int depth)
    {
        if (message is null || depth == 0)
        {
            return;
        }

        foreach (var field in message.Descriptor.Fields.InFieldNumberOrder())
        {
            switch (field.FieldType)
            {
                case FieldType.Int32 or FieldType.Int64 or FieldType.SInt32 or FieldType.SInt64
                    or FieldType.SFixed32 or FieldType.SFixed64 when !field.IsMap:
                    RequireValue(field, field.Accessor.GetValue(message));
                    break;
                case FieldType.Message when field is { IsMap: false, IsRepeated: false }:
                    Require(field.Accessor.GetValue(message) as IMessage, depth - 1);
                    break;
                case FieldType.Message when !field.IsMap:
                    foreach (var item in (System.Collections.IEnumerable)field.Accessor.GetValue(message))
                    {
                        Require(item as IMessage, depth - 1);
                    }

                    break;
            }
        }
    }

    private static void RequireValue(FieldDescriptor field, object value)
    {
        if (value is System.Collections.IEnumerable items)
        {
            foreach (var item in items)
            {
                RequireValue(field, item);
            }
        }
        else if (value is int and < 0 or long and < 0)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"{field.Name} is {value}; it must be 0 or more.", "negative_number");
        }
    }
}
