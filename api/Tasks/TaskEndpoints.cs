using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Errors;
using Registry.Api.Images;
using Registry.Api.Versions;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Tasks;

/// <summary>/v2/tasks and /v2/images/{id}/tasks (spec/glance-v2.md, 2 and 5).</summary>
internal static class TaskEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapTasks(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/tasks", ListAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPost("/tasks", CreateAsync);
        v2.MapGet("/tasks/{id}", ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet("/images/{id}/tasks", ListOfImageAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.Map("/images/{id}/tasks", RouteErrors.NotFound);
    }

    private static async Task ListAsync(
        HttpContext context, TaskCommands tasks, IOptions<RegistryOptions> options)
    {
        var (request, status, type) = ReadList(context.Request.Query, options.Value.Limits);
        var page = request is null
            ? []
            : await tasks.ListAsync(Caller.Of(context), request, context.RequestAborted);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("tasks"u8);
        foreach (var job in page.Where(job =>
            (status is null || TaskJson.Status(job) == status) && (type is null || TaskJson.Type(job) == type)))
        {
            TaskJson.WriteStub(json, job, options.Value.Jobs.Keep);
        }

        json.WriteEndArray();
        json.WriteString("first"u8, PageLink.Of("/v2/tasks", context.Request, null));
        if (page.Count > 0 && page.Count == request!.Limit)
        {
            json.WriteString("next"u8, PageLink.Of("/v2/tasks", context.Request, page[^1].Id.ToString("D")));
        }

        json.WriteString("schema"u8, "/v2/schemas/tasks");
        json.WriteEndObject();
    }

    private static async Task CreateAsync(HttpContext context, TaskCommands tasks, IOptions<RegistryOptions> options)
    {
        var caller = Caller.Of(context);
        tasks.RequireAccess(caller);
        using var body = await RequestBody.ReadJsonAsync(context);
        var job = await tasks.CreateAsync(caller, body.RootElement, context.TraceIdentifier, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status201Created;
        context.Response.Headers.Location = $"{VersionEndpoints.Base(context)}/v2/tasks/{job.Id:D}";
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        TaskJson.Write(json, job, options.Value.Jobs.Keep, isOwn: true);
    }

    private static async Task ShowAsync(
        HttpContext context, string id, TaskCommands tasks, IOptions<RegistryOptions> options)
    {
        var caller = Caller.Of(context);
        var job = await tasks.GetAsync(caller, id, context.RequestAborted);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        TaskJson.Write(json, job, options.Value.Jobs.Keep, TaskCommands.IsOwn(caller, job));
    }

    private static async Task ListOfImageAsync(
        HttpContext context, string id, TaskCommands tasks, IOptions<RegistryOptions> options)
    {
        var caller = Caller.Of(context);
        var jobs = await tasks.ListAsync(caller, id, context.RequestAborted);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("tasks"u8);
        foreach (var job in jobs)
        {
            TaskJson.Write(json, job, options.Value.Jobs.Keep, isOwn: TaskCommands.IsOwn(caller, job));
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    // Null for what matches nothing.
    private static (JobListRequest? Request, string? Status, string? Type) ReadList(IQueryCollection query, LimitsSection limits)
    {
        var limit = limits.ListDefault;
        if (query["limit"] is [{ } text]
            && !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out limit))
        {
            throw ImageRules.Bad("limit param must be a whole number of 0 or more");
        }

        Guid? marker = null;
        if (query["marker"] is [{ Length: > 0 } given])
        {
            marker = Guid.TryParseExact(given, "D", out var id) ? id : throw ImageRules.Bad("Invalid marker format");
        }

        var status = query["status"].ToString();
        if (status is not ("" or "pending" or "processing" or "success" or "failure"))
        {
            throw ImageRules.Bad($"Invalid status value: {ImageRules.Shown(status)}");
        }

        var type = query["type"].ToString();
        if (type is not ("" or "import" or "api_image_import" or "location_import"))
        {
            throw ImageRules.Bad($"Invalid type value: {ImageRules.Shown(type)}");
        }

        // All tasks are imports, and ids ascend with the time of their making.
        var sortKey = query["sort_key"].ToString();
        if (sortKey is not ("" or "id" or "type" or "status" or "created_at"))
        {
            throw ImageRules.Bad("Tasks are sorted by id, type, status or created_at.");
        }

        var direction = query["sort_dir"].ToString();
        if (direction is not ("" or "asc" or "desc"))
        {
            throw ImageRules.Bad($"Invalid sort direction: {ImageRules.Shown(direction)}");
        }

        if (limit == 0)
        {
            return (null, null, null);
        }

        return (
            new JobListRequest(Math.Min(limit, limits.ListMax))
            {
                Statuses = status switch
                {
                    "pending" => [JobStatus.Pending],
                    "processing" => [JobStatus.Pending, JobStatus.Running],
                    "success" => [JobStatus.Succeeded],
                    "failure" => [JobStatus.Failed, JobStatus.Cancelled],
                    _ => [],
                },
                Marker = marker,
                IsAscending = direction == "asc",
                IsByStatus = sortKey == "status",
            },
            status.Length == 0 ? null : status,
            type.Length == 0 ? null : type);
    }
}
