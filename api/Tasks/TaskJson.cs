using System.Globalization;
using System.Text.Json;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Storage.Domain;

namespace Registry.Api.Tasks;

/// <summary>Writes tasks as the Image API shows them (spec/glance-v2.md, 5).</summary>
internal static class TaskJson
{
    /// <summary>Glance's word for the kind of task that a job is.</summary>
    public static string Type(Job job) => ImportOrder.Of(job) switch
    {
        { TaskInput: not null } => TaskRequest.Type,
        { Method: ImportMethods.Location } => "location_import",
        _ => "api_image_import",
    };

    /// <summary>Glance's word for where a job is; one that waits for another attempt is under way.</summary>
    public static string Status(Job job) => job.Status switch
    {
        JobStatus.Pending when job.Attempt == 0 => "pending",
        JobStatus.Pending or JobStatus.Running => "processing",
        JobStatus.Succeeded => "success",
        _ => "failure",
    };

    /// <summary>Writes a task of a list, without what can be long.</summary>
    public static void WriteStub(Utf8JsonWriter json, Job job, TimeSpan kept)
    {
        json.WriteStartObject();
        WriteBase(json, job, kept);
        json.WriteEndObject();
    }

    /// <summary>Writes a whole task.</summary>
    /// <param name="json">Takes it.</param>
    /// <param name="job">The task.</param>
    /// <param name="kept">How long an ended task can be asked for.</param>
    /// <param name="isOwn">Whether addresses that bytes come from are shown, and the user and the request that asked.</param>
    public static void Write(Utf8JsonWriter json, Job job, TimeSpan kept, bool isOwn)
    {
        json.WriteStartObject();
        WriteBase(json, job, kept);
        WriteInput(json, job, isOwn);
        json.WritePropertyName("result"u8);
        json.WriteRawValue(job.Result ?? "null");
        json.WriteString("message"u8, Message(job));
        json.WriteString("image_id"u8, job.ImageId);
        json.WriteString("request_id"u8, isOwn ? job.RequestId : null);
        json.WriteString("user_id"u8, isOwn ? job.UserId : null);
        json.WriteEndObject();
    }

    private static void WriteBase(Utf8JsonWriter json, Job job, TimeSpan kept)
    {
        json.WriteString("id"u8, job.Id);
        json.WriteString("type"u8, Type(job));
        json.WriteString("status"u8, Status(job));
        json.WriteString("owner"u8, job.Owner);
        json.WriteString("created_at"u8, ImageJson.Time(job.CreatedAt));
        json.WriteString("updated_at"u8, ImageJson.Time(job.UpdatedAt));
        if (job.EndedAt is { } ended)
        {
            json.WriteString("expires_at"u8, ImageJson.Time(ended + kept));
        }

        json.WriteString("self"u8, $"/v2/tasks/{job.Id:D}");
        json.WriteString("schema"u8, "/v2/schemas/task");
    }

    private static void WriteInput(Utf8JsonWriter json, Job job, bool isOwn)
    {
        var order = ImportOrder.Of(job);
        if (order.TaskInput is { } given && isOwn)
        {
            json.WritePropertyName("input"u8);
            json.WriteRawValue(given);
            return;
        }

        json.WriteStartObject("input"u8);
        json.WriteString("image_id"u8, job.ImageId);
        if (order.Location is { } location)
        {
            json.WriteString("loc_url"u8, isOwn ? location.Url : null);
            json.WriteStartObject("validation_data"u8);
            if (location.Hash is not null)
            {
                json.WriteString("os_hash_algo"u8, location.Algorithm);
                json.WriteString("os_hash_value"u8, location.Hash);
            }

            json.WriteEndObject();
            json.WriteEndObject();
            return;
        }

        json.WriteStartObject("import_req"u8);
        json.WriteStartObject("method"u8);
        json.WriteString("name"u8, order.Method);
        if (order.Uri is not null && isOwn)
        {
            json.WriteString("uri"u8, order.Uri);
        }

        if ((order.Remote?.Source ?? order.Refusal?.Source) is { } source && isOwn)
        {
            json.WriteString("glance_region"u8, source.Region);
            json.WriteString("glance_image_id"u8, source.ImageId);
            json.WriteString("glance_service_interface"u8, source.Interface);
        }

        json.WriteEndObject();
        if (order.NamedStores is { } named)
        {
            WriteList(json, "stores"u8, named);
        }

        if (order.AllStores)
        {
            json.WriteBoolean("all_stores"u8, true);
        }

        json.WriteBoolean("all_stores_must_succeed"u8, order.MustSucceed);
        json.WriteEndObject();
        WriteList(json, "backend"u8, order.Stores);
        json.WriteEndObject();
    }

    private static void WriteList(Utf8JsonWriter json, ReadOnlySpan<byte> name, IReadOnlyList<string> stores)
    {
        json.WriteStartArray(name);
        foreach (var store in stores)
        {
            json.WriteStringValue(store);
        }

        json.WriteEndArray();
    }

    // Glance tells "Task failed due to Internal Error" whatever it was; here it is the reason.
    private static string Message(Job job) => job switch
    {
        { Message: { } reason } => reason,
        { Status: JobStatus.Running, Step: { } step, Total: { } total } => string.Create(
            CultureInfo.InvariantCulture, $"{step}: {job.Done >> 20} of {total >> 20} MiB"),
        { Status: JobStatus.Running, Step: { } step } => string.Create(
            CultureInfo.InvariantCulture, $"{step}: {job.Done >> 20} MiB"),
        _ => "",
    };
}
