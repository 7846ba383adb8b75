using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Members;

/// <summary>/v2/images/{id}/members.</summary>
public static class MemberEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapMembers(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/images/{id}/members", ListAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost("/images/{id}/members", AddAsync);
        v2.MapGet("/images/{id}/members/{member}", ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPut("/images/{id}/members/{member}", AnswerAsync);
        v2.MapDelete("/images/{id}/members/{member}", RemoveAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(HttpContext context, string id, MemberCommands commands)
    {
        var members = await commands.ListAsync(Caller.Of(context), id, context.RequestAborted);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("members"u8);
        foreach (var member in members)
        {
            Write(json, member);
        }

        json.WriteEndArray();
        json.WriteString("schema"u8, "/v2/schemas/members");
        json.WriteEndObject();
    }

    private static async Task AddAsync(HttpContext context, string id, MemberCommands commands)
    {
        var memberId = await ReadTextAsync(context, "member");
        await WriteAsync(context, await commands.AddAsync(Caller.Of(context), id, memberId, context.RequestAborted));
    }

    private static async Task ShowAsync(HttpContext context, string id, string member, MemberCommands commands) =>
        await WriteAsync(context, await commands.GetAsync(Caller.Of(context), id, member, context.RequestAborted));

    private static async Task AnswerAsync(HttpContext context, string id, string member, MemberCommands commands)
    {
        var status = await ReadTextAsync(context, "status");
        await WriteAsync(
            context, await commands.AnswerAsync(Caller.Of(context), id, member, status, context.RequestAborted));
    }

    private static async Task RemoveAsync(HttpContext context, string id, string member, MemberCommands commands)
    {
        await commands.RemoveAsync(Caller.Of(context), id, member, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task<string> ReadTextAsync(HttpContext context, string name)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        return body.RootElement.ValueKind == JsonValueKind.Object
            && body.RootElement.TryGetProperty(name, out var value)
            && value.ValueKind == JsonValueKind.String
                ? value.GetString()!
                : throw ImageRules.Bad($"Expected a JSON object with a string '{name}'.");
    }

    private static async Task WriteAsync(HttpContext context, ImageMember member)
    {
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        Write(json, member);
    }

    private static void Write(Utf8JsonWriter json, ImageMember member)
    {
        json.WriteStartObject();
        json.WriteString("member_id"u8, member.MemberId);
        json.WriteString("image_id"u8, member.ImageId);
        json.WriteString("status"u8, MemberStatuses.Name(member.Status));
        json.WriteString("created_at"u8, ImageJson.Time(member.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(member.UpdatedAt));
        json.WriteString("schema"u8, "/v2/schemas/member");
        json.WriteEndObject();
    }
}
