using System.Text.Json;
using System.Text.Unicode;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Memory;
using Registry.Storage.Domain;

namespace Registry.Api;

/// <summary>Reads request bodies within limits.</summary>
public static class RequestBody
{
    // Twelve bytes each while a document is open, in an array that the pool keeps for every thread that ever had one.
    private const int TokensMax = 32 << 10;

    private const int SmallBytes = 16 << 10;
    private const int BytesPerByte = 4; // as it came, in the document, as text, and as what is stored

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 32, AllowDuplicateProperties = false };

    /// <summary>Reads a JSON body.</summary>
    /// <exception cref="RegistryException">TooLarge, or BadRequest for what is not JSON or has a NUL character in a text.
    /// UnsupportedMedia for what does not say that it is JSON, where callers are not authenticated.</exception>
    public static async Task<JsonDocument> ReadJsonAsync(HttpContext context)
    {
        if (context.RequestServices.GetService<BrowserGate>() is not null)
        {
            BrowserGate.RequireJson(context.Request);
        }

        var max = context.RequestServices.GetRequiredService<IOptions<RegistryOptions>>()
            .Value.Limits.MetadataBodyBytes;
        if (context.Request.ContentLength > max)
        {
            throw TooLarge(max);
        }

        var isReserved = context.Request.ContentLength > SmallBytes;
        if (isReserved)
        {
            await ReserveAsync(context, context.Request.ContentLength!.Value);
        }

        try
        {
            await using var bounded = new MemoryStream();
            var reader = context.Request.BodyReader;
            while (true)
            {
                var result = await reader.ReadAsync(context.RequestAborted);
                foreach (var segment in result.Buffer)
                {
                    bounded.Write(segment.Span);
                }

                reader.AdvanceTo(result.Buffer.End);
                if (bounded.Length > max)
                {
                    throw TooLarge(max);
                }

                if (!isReserved && bounded.Length > SmallBytes)
                {
                    isReserved = true;
                    await ReserveAsync(context, max); // its length is not stated: it may be the longest
                }

                if (result.IsCompleted)
                {
                    break;
                }
            }

            var json = bounded.GetBuffer().AsMemory(0, (int)bounded.Length);
            RequireWellFormedText(json.Span);
            return JsonDocument.Parse(json, Strict);
        }
        catch (JsonException e)
        {
            throw new RegistryException(ErrorCode.BadRequest, $"Malformed JSON in request body: {e.Message}");
        }
    }

    // A small body fits into what every connection is charged for, and needs none.
    private static async ValueTask ReserveAsync(HttpContext context, long bytes)
    {
        var memory = context.RequestServices.GetRequiredService<ProcessMemory>();
        context.Response.RegisterForDispose(
            await memory.TakeAsync(
                memory.Requests, Caller.Of(context).ProjectId, bytes * BytesPerByte, context.RequestAborted));
    }

    /// <summary>Endpoint filter for routes that take no body.</summary>
    /// <exception cref="RegistryException">BadRequest: there is one.</exception>
    public static ValueTask<object?> Refuse(EndpointFilterInvocationContext invocation, EndpointFilterDelegate next)
    {
        var request = invocation.HttpContext.Request;
        if (request.ContentLength > 0 || request.Headers.TransferEncoding.Count > 0)
        {
            throw new RegistryException(ErrorCode.BadRequest, "A body is not expected with this request.");
        }

        return next(invocation);
    }

    // The document decodes its strings when they are read, long after this is the place to refuse them.
    private static void RequireWellFormedText(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = Strict.MaxDepth });
        var tokens = 0;
        try
        {
            while (reader.Read())
            {
                if (++tokens > TokensMax)
                {
                    throw new RegistryException(
                        ErrorCode.TooLarge, $"The request body has more than {TokensMax} names and values.");
                }

                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName
                    && (reader.ValueIsEscaped || !Utf8.IsValid(reader.ValueSpan)))
                {
                    // Only an escape can stand for it, and PostgreSQL cannot keep it.
                    ImageRules.RequireNoNul("request body", reader.GetString()!);
                }
            }
        }
        catch (InvalidOperationException e)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"A string in the request body is not valid Unicode: {e.Message}");
        }
    }

    private static RegistryException TooLarge(long max) =>
        new(ErrorCode.TooLarge, $"The request body is longer than {max} bytes.");
}
