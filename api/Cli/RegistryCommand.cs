using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Data.Common;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Engine.Disks;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>The command line: the list of verbs, and what every verb does with a failure.</summary>
public static class RegistryCommand
{
    private const int Failed = 1;
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Runs a command line.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        var root = new RootCommand(
            "An image registry: the OpenStack Image API and gRPC, and provisioning of only what an image allocates.")
        {
            ServeCommand.Create(),
            PushCommand.Create(),
            PullCommand.Create(),
            ImagesCommand.Create(),
            ShowCommand.Create(),
            RemoveCommand.Create(),
            ProvisionCommand.Create(),
            ChangesCommand.Create(),
            CloneCommand.Create(),
            CacheCommand.Create(),
            CopyCommand.Create(),
            ImportCommand.Create(),
            JobsCommand.Create(),
            TasksCommand.Create(),
            ReplicateCommand.Create(),
            ScrubCommand.Create(),
            DiskCommand.Create(),
            DbCommand.Create(),
        };
        ConnectionOptions.AddTo(root);
        root.SetAction((_, cancellationToken) => ServeCommand.RunAsync(null, nbd: false, cancellationToken));
        try
        {
            var configuration = new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = StopTimeout,
            };
            var parsed = root.Parse(args);
            return parsed.Errors.Count == 0 || parsed.Action is HelpAction
                ? await parsed.InvokeAsync(configuration)
                : await RefuseAsync(parsed);
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync("registry: " + Terminal.Printable(Sentence(e) ?? Bug(e)));
            if (Environment.GetEnvironmentVariable("REGISTRY_DEBUG") == "1")
            {
                await Console.Error.WriteLineAsync(e.ToString());
            }

            return Failed;
        }
    }

    // Whatever the operating system, the runtime or an argument brings: one line, and no core file.
    private static string Bug(Exception exception) =>
        $"unexpected error: {exception.GetType().Name}: {exception.Message.ReplaceLineEndings(" ")} " +
        "(please report it with the output of the same command under REGISTRY_DEBUG=1)";

    /// <summary>Says what is wrong with a command line, and where its help is.</summary>
    private static async Task<int> RefuseAsync(ParseResult parsed)
    {
        var command = parsed.CommandResult.Command;
        var verbs = command.Name;
        for (var above = parsed.CommandResult.Parent; above is CommandResult { Command: not RootCommand } result;
            above = result.Parent)
        {
            verbs = $"{result.Command.Name} {verbs}";
        }

        var mistake = parsed.Errors[0].Message.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0);
        var help = command is RootCommand ? "registry --help" : $"registry {verbs} --help";
        await Console.Error.WriteLineAsync($"registry: {Terminal.Printable(string.Join(' ', mistake))}\nTry '{help}' for more information.");
        return Failed;
    }

    /// <summary>What to tell the user of a failure, in one line; null for a bug.</summary>
    internal static string? Sentence(Exception exception) => exception switch
    {
        RpcException call => Sentence(call),
        ImageFormatException format => $"{format.Message} ({FormatErrors.Code(format.Error)})",
        OperationCanceledException => "interrupted",
        CommandException or ImageApiException or DiskOperationException or ConfigurationException or FormatException or IOException
            or UnauthorizedAccessException or HttpRequestException or DbException or TimeoutException => exception.Message,
        _ => null,
    };

    private static string Sentence(RpcException call)
    {
        var trailer = call.Trailers.GetValueBytes(GrpcErrors.Trailer);
        if (trailer is null)
        {
            return $"{call.Status.Detail} ({call.StatusCode})";
        }

        var detail = ErrorDetail.Parser.ParseFrom(trailer);
        return $"{detail.Message} ({(detail.Reason.Length > 0 ? detail.Reason : detail.Code)})";
    }
}

/// <summary>A verb cannot do what it was asked; the message is one line for the user.</summary>
internal sealed class CommandException(string message) : Exception(message);
