using System.CommandLine;
using Microsoft.Extensions.Logging.Console;
using Registry.Api.Configuration;

namespace Registry.Api.Cli;

/// <summary>registry serve.</summary>
internal static class ServeCommand
{
    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var config = ConfigOption();
        var nbd = new Option<bool>("--nbd")
        {
            Description = "Export images as disks over NBD too, at Registry:Endpoints:Nbd (nbd://127.0.0.1:10809)",
        };
        var command = new Command("serve", """
            Run the registry (the default verb).

            Without configuration: no authentication, loopback only, SQLite and image bytes below ./registry-data,
            HTTP on 127.0.0.1:9292, gRPC on 127.0.0.1:9293, metrics on 127.0.0.1:9294.

            Settings come from --config FILE and the environment, e.g.
              Registry__DataDirectory=/var/lib/registry registry serve

            With --nbd, nbd://127.0.0.1:10809/IMAGE is the disk of an image, an id or a name: read-only, whatever format
            it is stored in, and read from the store as it is asked for. nbd://127.0.0.1:10809/IMAGE+overlay can be
            written to; what was written is lost when the connection ends, and with IMAGE+overlay=NAME becomes a new image.
            Where callers differ (Registry:Auth:Kind), POST /registry/v1/images/ID/nbd answers with what to open.
            """) { config, nbd };
        command.SetAction((parsed, cancellationToken) =>
            RunAsync(parsed.GetValue(config), parsed.GetValue(nbd), cancellationToken));
        return command;
    }

    /// <summary>Runs the server until it is told to stop.</summary>
    /// <param name="config">A configuration file; null for none.</param>
    /// <param name="nbd">Whether NBD is wanted, wherever the configuration says or at its usual place.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="ConfigurationException">It cannot start.</exception>
    public static Task<int> RunAsync(FileInfo? config, bool nbd, CancellationToken cancellationToken)
    {
        FileLimit.Raise(); // before the server's assemblies are loaded: each takes a descriptor
        return ServeAsync(config, nbd, cancellationToken);
    }

    private static async Task<int> ServeAsync(FileInfo? config, bool nbd, CancellationToken cancellationToken)
    {
        await using var app = Build(config, builder => ListenForNbd(builder.Configuration, nbd));
        await app.StartAsync(cancellationToken);
        await app.WaitForShutdownAsync(cancellationToken);
        return 0;
    }

    /// <summary>The option that names a configuration file.</summary>
    public static Option<FileInfo?> ConfigOption() => new("--config")
    {
        Description = "JSON configuration file, over the defaults and under the environment",
    };

    /// <summary>Builds the server for a verb that only uses its parts. Standard output is the verb's: the log goes to
    /// standard error.</summary>
    /// <exception cref="ConfigurationException">The configuration cannot be used.</exception>
    public static WebApplication BuildForVerb(FileInfo? config) => Build(
        config,
        builder => builder.Services.Configure<ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace));

    /// <summary>Builds the server from the defaults, a configuration file and the environment.</summary>
    /// <exception cref="ConfigurationException">The configuration cannot be used.</exception>
    private static WebApplication Build(FileInfo? config, Action<WebApplicationBuilder> configure)
    {
        // A watch for a changed appsettings.json would be one on every folder below the current directory, the data
        // included; settings are read once.
        var builder = WebApplication.CreateBuilder(["--hostBuilder:reloadConfigOnChange=false"]);
        if (config is not null)
        {
            ConfigurationFile.Add(builder.Configuration, config);
            builder.Configuration.AddEnvironmentVariables();
        }

        configure(builder);
        return RegistryServer.Build(builder);
    }

    private static void ListenForNbd(ConfigurationManager configuration, bool wanted)
    {
        const string endpoint = "Registry:Endpoints:Nbd";
        if (wanted && string.IsNullOrEmpty(configuration[endpoint]))
        {
            configuration[endpoint] = EndpointsSection.NbdDefault;
        }
    }
}
