using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>What happens to tasks, as Glance tells it.</summary>
internal static class TaskEvents
{
    /// <summary>What is to be noted of a job: nothing, where it is no task.</summary>
    /// <param name="events">What is noted.</param>
    /// <param name="job">The job as it is now.</param>
    /// <param name="now">The present.</param>
    /// <param name="types">What happened, in order.</param>
    public static IEnumerable<OutboxEvent> Of(
        EventSelection events, Job job, DateTimeOffset now, params IEnumerable<string> types)
    {
        if (events.TaskType(job) is not { } kind)
        {
            return [];
        }

        return types.Where(events.Wants).Select(type => OutboxEvent.Create(
            type, job.Id.ToString("D"), EventData.OfTask(job, kind, Status(type), events.TasksKept), now));
    }

    private static string Status(string type) => type switch
    {
        "task.create" or "task.run" => "pending",
        _ => type["task.".Length..],
    };
}
