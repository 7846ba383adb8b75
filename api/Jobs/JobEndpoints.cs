using System.Globalization;
using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Versions;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Jobs;

/// <summary>/registry/v1/jobs, and what starts jobs.</summary>
internal static class JobEndpoints
{
    private const int PageDefault = 100;

    /// <summary>Lists the routes.</summary>
    public static void MapJobs(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/jobs", ListAsync).AddEndpointFilter(RequestBody.Refuse)
            .Describe(
                "A page of jobs, newest first.", "kind: only this kind", "status: only this status",
                "image_id: only jobs of this image", "limit: of the page, 100 unless said", "marker: id of the last job seen");
        routes.MapGet("/jobs/{id}", ShowAsync).AddEndpointFilter(RequestBody.Refuse).Describe("A job.");
        routes.MapPost("/jobs/{id}/cancel", CancelAsync).AddEndpointFilter(RequestBody.Refuse)
            .Describe("Wants a job ended.");
        routes.MapPost("/images/{id}/copies", CopyAsync)
            .Describe("Starts a job that copies an image's bytes to another store. Body: store.");
        routes.MapPost("/scrubs", ScrubAsync)
            .Describe("Starts a job that compares stores with the database. Body: store, data and apply, all optional.");
    }

    private static async Task ListAsync(HttpContext context, JobCommands commands)
    {
        var query = context.Request.Query;
        var jobs = await commands.ListAsync(
            Caller.Of(context),
            ReadList(query["kind"], query["status"], query["image_id"], query["limit"], query["marker"]),
            context.RequestAborted);
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("jobs"u8);
        foreach (var job in jobs)
        {
            JobJson.Write(json, job);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Reads what a list is asked for, the same for HTTP and gRPC; empty means not said.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    internal static JobListRequest ReadList(
        string? kind, string? status, string? imageId, string? limit, string? marker)
    {
        var count = PageDefault;
        if (!string.IsNullOrEmpty(limit)
            && (!int.TryParse(limit, NumberStyles.None, CultureInfo.InvariantCulture, out count) || count < 1))
        {
            throw new RegistryException(ErrorCode.BadRequest, "limit must be a number of 1 or more.");
        }

        JobStatus? wanted = null;
        if (!string.IsNullOrEmpty(status))
        {
            wanted = JobStatuses.TryParse(status, out var known)
                ? known
                : throw new RegistryException(
                    ErrorCode.BadRequest, "status must be pending, running, succeeded, failed or cancelled.");
        }

        Guid? after = null;
        if (!string.IsNullOrEmpty(marker))
        {
            after = Guid.TryParseExact(marker, "D", out var id)
                ? id
                : throw new RegistryException(ErrorCode.BadRequest, "marker must be the id of a job.");
        }

        return new JobListRequest(Math.Min(count, JobListRequest.LimitMax))
        {
            Kind = string.IsNullOrEmpty(kind) ? null : kind,
            Status = wanted,
            ImageId = string.IsNullOrEmpty(imageId) ? null : imageId,
            Marker = after,
        };
    }

    private static async Task ShowAsync(HttpContext context, string id, JobCommands commands) =>
        await JobJson.WriteAsync(
            context, StatusCodes.Status200OK,
            await commands.GetAsync(Caller.Of(context), id, context.RequestAborted));

    private static async Task CancelAsync(HttpContext context, string id, JobCommands commands) =>
        await JobJson.WriteAsync(
            context, StatusCodes.Status202Accepted,
            await commands.CancelAsync(Caller.Of(context), id, context.RequestAborted));

    private static async Task CopyAsync(HttpContext context, string id, JobCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var store = body.RootElement is { ValueKind: JsonValueKind.Object } root
            && root.TryGetProperty("store", out var value) && value.ValueKind == JsonValueKind.String
                ? value.GetString()!
                : throw new RegistryException(ErrorCode.BadRequest, "The body must be {\"store\": \"ID\"}.");
        var job = await commands.CopyAsync(
            Caller.Of(context), id, store, context.TraceIdentifier, context.RequestAborted);
        await JobJson.WriteAsync(context, StatusCodes.Status202Accepted, job);
    }

    private static async Task ScrubAsync(HttpContext context, JobCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        ScrubRequest? request;
        try
        {
            request = body.RootElement.Deserialize<ScrubRequest>(JsonSerializerOptions.Web);
        }
        catch (JsonException)
        {
            request = null;
        }

        var job = await commands.ScrubAsync(
            Caller.Of(context),
            request ?? throw new RegistryException(
                ErrorCode.BadRequest,
                "The body must be an object; store (text), data and apply (true or false) are optional."),
            context.TraceIdentifier,
            context.RequestAborted);
        await JobJson.WriteAsync(context, StatusCodes.Status202Accepted, job);
    }
}
