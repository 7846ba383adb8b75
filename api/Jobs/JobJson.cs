using System.Globalization;
using System.Text.Json;
using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>A job in answers of /registry/v1.</summary>
internal static class JobJson
{
    /// <summary>Writes a whole answer.</summary>
    public static async Task WriteAsync(HttpContext context, int status, Job job)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        Write(json, job);
    }

    /// <summary>Writes a job as an object.</summary>
    public static void Write(Utf8JsonWriter json, Job job)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, job.Id);
        json.WriteString("kind"u8, job.Kind);
        json.WriteString("status"u8, JobStatuses.Name(job.Status));
        json.WriteString("image_id"u8, job.ImageId);
        json.WriteString("owner"u8, job.Owner);
        json.WriteString("step"u8, job.Step);
        json.WriteNumber("done"u8, job.Done);
        if (job.Total is { } total)
        {
            json.WriteNumber("total"u8, total);
        }
        else
        {
            json.WriteNull("total"u8);
        }

        json.WriteNumber("attempt"u8, job.Attempt);
        json.WriteString("reason"u8, job.FailureCode);
        json.WriteString("message"u8, job.Message);
        json.WritePropertyName("result"u8);
        json.WriteRawValue(job.Result ?? "null");
        json.WriteString("created_at"u8, Time(job.CreatedAt));
        json.WriteString("updated_at"u8, Time(job.UpdatedAt));
        json.WriteString("ended_at"u8, job.EndedAt is { } ended ? Time(ended) : null);
        json.WriteEndObject();
    }

    private static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}
