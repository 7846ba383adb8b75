namespace Registry.Api.Grpc;

/// <summary>How image bytes are cut into gRPC messages.</summary>
internal static class DataMessages
{
    /// <summary>Most bytes of content in one message. The receiver allocates each message's content anew: below the
    /// size of a large object that is cheap garbage, above it peak memory multiplies.</summary>
    public const int BytesMax = 64 * 1024;
}
