using System.CommandLine;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry jobs.</summary>
internal static class JobsCommand
{
    private const int PageSize = 100;

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var command = new Command("jobs", "List jobs, newest first; look at one, wait for it, cancel it.")
        {
            CreateVerb("show", "Show a job.", (registry, request, cancellationToken) =>
                registry.Jobs.GetAsync(request, registry.Headers, cancellationToken: cancellationToken).ResponseAsync),
            CreateVerb("wait", "Wait until a job has ended; exit code 1 unless it succeeded.", WaitAsync),
            CreateVerb("cancel", "Want a job ended.", (registry, request, cancellationToken) =>
                registry.Jobs.CancelAsync(request, registry.Headers, cancellationToken: cancellationToken)
                    .ResponseAsync),
        };
        var kind = new Option<string>("--kind")
        {
            Description = "Only jobs of this kind: scrub, copy, reap",
            DefaultValueFactory = _ => "",
        };
        var status = new Option<string>("--status")
        {
            Description = "Only jobs in this status: pending, running, succeeded, failed, cancelled",
            DefaultValueFactory = _ => "",
        };
        var limit = new Option<int>("--limit")
        {
            Description = "At most so many",
            DefaultValueFactory = _ => PageSize,
        };
        command.Add(kind);
        command.Add(status);
        command.Add(limit);
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var page = await registry.Jobs.ListAsync(
                new ListJobsRequest
                {
                    Kind = parsed.GetValue(kind),
                    Status = parsed.GetValue(status),
                    PageSize = parsed.GetValue(limit),
                },
                registry.Headers,
                cancellationToken: cancellationToken);
            if (output.IsJson(parsed))
            {
                OutputOption.WriteJson(json =>
                {
                    json.WriteStartArray();
                    foreach (var job in page.Jobs)
                    {
                        JobOutput.WriteJson(json, job);
                    }

                    json.WriteEndArray();
                });
            }
            else
            {
                JobOutput.WriteTable(page.Jobs);
            }

            return 0;
        });
        return command;
    }

    /// <summary>Waits for a job to end, with a progress bar on a terminal.</summary>
    public static async Task<Job> WaitAsync(
        Connection registry, GetJobRequest request, CancellationToken cancellationToken)
    {
        using var watch = registry.Jobs.Watch(request, registry.Headers, cancellationToken: cancellationToken);
        using var bar = new ProgressBar("job", 0);
        Job? last = null;
        while (await watch.ResponseStream.MoveNext(cancellationToken))
        {
            last = watch.ResponseStream.Current;
            bar.Set(last.Done, last.Total);
        }

        return last ?? throw new CommandException("the server ended the watch without a word.");
    }

    private static Command CreateVerb(
        string name, string description, Func<Connection, GetJobRequest, CancellationToken, Task<Job>> call)
    {
        var id = new Argument<string>("JOB") { Description = "The job's id" };
        var command = new Command(name, description) { id };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var job = await call(registry, new GetJobRequest { Id = parsed.GetValue(id) }, cancellationToken);
            JobOutput.Write(job, output.IsJson(parsed));
            return name == "wait" && job.Status != "succeeded" ? 1 : 0;
        });
        return command;
    }
}
