using System.Text.Json;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Prints jobs.</summary>
internal static class JobOutput
{
    /// <summary>Prints a table of jobs.</summary>
    public static void WriteTable(IEnumerable<Job> jobs) => TextTable.Write(
        ["ID", "KIND", "STATUS", "IMAGE", "PROGRESS", "CREATED", "MESSAGE"],
        jobs.Select(j => new[]
        {
            j.Id, j.Kind, j.Status, j.ImageId.Length > 0 ? j.ImageId : "-", Progress(j),
            ImageOutput.Time(j.CreatedAt), j.Message,
        }));

    /// <summary>Prints one job.</summary>
    public static void Write(Job job, bool asJson)
    {
        if (asJson)
        {
            OutputOption.WriteJson(json => WriteJson(json, job));
            return;
        }

        foreach (var (name, value) in Lines(job))
        {
            Terminal.WriteLine($"{name,-18}{value}");
        }
    }

    /// <summary>Writes one job as a JSON object.</summary>
    public static void WriteJson(Utf8JsonWriter json, Job job)
    {
        json.WriteStartObject();
        json.WriteString("id", job.Id);
        json.WriteString("kind", job.Kind);
        json.WriteString("status", job.Status);
        json.WriteString("image_id", job.ImageId.Length > 0 ? job.ImageId : null);
        json.WriteString("step", job.Step);
        json.WriteNumber("done", job.Done);
        json.WriteNumber("total", job.Total);
        json.WriteNumber("attempt", job.Attempt);
        json.WriteString("reason", job.Reason.Length > 0 ? job.Reason : null);
        json.WriteString("message", job.Message.Length > 0 ? job.Message : null);
        json.WritePropertyName("result");
        json.WriteRawValue(job.Result.Length > 0 ? job.Result : "null");
        json.WriteString("created_at", ImageOutput.Time(job.CreatedAt));
        json.WriteString("updated_at", ImageOutput.Time(job.UpdatedAt));
        json.WriteString("ended_at", job.EndedAt is { } ended ? ImageOutput.Time(ended) : null);
        json.WriteEndObject();
    }

    private static IEnumerable<(string Name, string Value)> Lines(Job job)
    {
        yield return ("id", job.Id);
        yield return ("kind", job.Kind);
        yield return ("status", job.Status);
        if (job.ImageId.Length > 0)
        {
            yield return ("image", job.ImageId);
        }

        yield return ("step", job.Step);
        yield return ("progress", Progress(job));
        yield return ("attempt", $"{job.Attempt}");
        if (job.Message.Length > 0)
        {
            yield return ("message", $"{job.Message} ({job.Reason})");
        }

        if (job.Result.Length > 0)
        {
            yield return ("result", job.Result);
        }

        yield return ("created", ImageOutput.Time(job.CreatedAt));
        yield return ("updated", ImageOutput.Time(job.UpdatedAt));
    }

    private static string Progress(Job job) =>
        job.Total > 0 ? $"{Sizes.Show(job.Done)} of {Sizes.Show(job.Total)}" : Sizes.Show(job.Done);
}
