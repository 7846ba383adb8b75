using System.Text.Json;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using Registry.Api.Auth;
using Registry.Api.Cache;
using Registry.Api.Configuration;
using Registry.Api.Connections;
using Registry.Api.Cors;
using Registry.Api.Errors;
using Registry.Api.Events;
using Registry.Api.Federation;
using Registry.Api.Grpc;
using Registry.Api.Health;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Api.Jobs;
using Registry.Api.Locations;
using Registry.Api.Logs;
using Registry.Api.Members;
using Registry.Api.Memory;
using Registry.Api.Metadefs;
using Registry.Api.Metrics;
using Registry.Api.Nbd;
using Registry.Api.Outbound;
using Registry.Api.Policy;
using Registry.Api.Provisioning;
using Registry.Api.Schemas;
using Registry.Api.Stores;
using Registry.Api.Tags;
using Registry.Api.Tasks;
using Registry.Api.Usage;
using Registry.Api.Versions;
using Registry.Storage;
using Registry.Storage.Metadata;

namespace Registry.Api;

/// <summary>Puts the server together.</summary>
public static class RegistryServer
{
    /// <summary>How long running requests have to finish after SIGTERM.</summary>
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(25);

    private static readonly TimeSpan KeepAlivePingDelay = TimeSpan.FromSeconds(30);

    /// <summary>Builds the server from the configuration in <paramref name="builder"/>.</summary>
    /// <exception cref="ConfigurationException">The configuration cannot be used.</exception>
    public static WebApplication Build(WebApplicationBuilder builder)
    {
        var section = builder.Configuration.GetSection("Registry");
        SettingsShape.Require(section, typeof(RegistryOptions));
        var options = section.Get<RegistryOptions>() ?? new RegistryOptions();
        options.Validate();
        var directory = options.IsEmbedded
            ? DataDirectory.Take(options.DataDirectory, options.Database.ReserveBytes)
            : null;
        builder.Services.AddSingleton(Options.Create(options));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlivePingDelay; // finds out about peers that are gone
            kestrel.Limits.MaxRequestBodySize = options.Limits.MetadataBodyBytes;
            Listeners.Open(kestrel, options);
        });
        builder.Services.AddConnectionLimits();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = StopTimeout);
        AddLogging(builder.Logging);
        AddTelemetry(builder);
        AddCore(builder.Services, options, directory);
        AddGrpc(builder.Services);
        CrossOrigin.Add(builder.Services, options.Cors);
        var app = builder.Build();
        app.Services.GetRequiredService<PropertyProtections>(); // rules that cannot be used stop the start
        app.Lifetime.ApplicationStopped.Register(() => directory?.Dispose());
        MapPipeline(app);
        return app;
    }

    /// <summary>The addresses that the server listens on, in the order HTTP, gRPC, metrics, and NBD where it is wanted.
    /// Known once it has started.</summary>
    public static IReadOnlyList<string> Addresses(IServiceProvider services) =>
        [.. services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses
            .Select((address, number) => number == (int)Listener.Nbd
                ? new UriBuilder(address) { Scheme = EndpointsSection.NbdScheme }.Uri.GetLeftPart(UriPartial.Authority)
                : address)];

    private static void AddLogging(ILoggingBuilder logging)
    {
        logging.ClearProviders();
        logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        logging.AddFilter("Microsoft.EntityFrameworkCore", LogLevel.Warning);
        logging.AddFilter("Grpc", LogLevel.Warning);

        // That a start failed, and why, is told once, in one line, by who asked for it.
        logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.Critical);
        if (Console.IsOutputRedirected)
        {
            logging.AddJsonConsole(console =>
            {
                console.UseUtcTimestamp = true;
                console.TimestampFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
                console.IncludeScopes = true;
            });
            logging.AddConsoleFormatter<LineFormatter, ConsoleFormatterOptions>();
            logging.AddConsole(console => console.FormatterName = LineFormatter.FormatterName);
        }
        else
        {
            logging.AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss ";
            });
        }
    }

    private static void AddTelemetry(WebApplicationBuilder builder)
    {
        // The exporter's own environment variables say where traces and metrics go; without them nothing is sent.
        var hasCollector = Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT") is { Length: > 0 };
        builder.Services.AddOpenTelemetry()
            .WithMetrics(metrics =>
            {
                metrics.AddMeter(
                    RegistryMetrics.Name,
                    "Microsoft.AspNetCore.Hosting",
                    "Microsoft.AspNetCore.Server.Kestrel",
                    "System.Runtime");
                metrics.AddPrometheusExporter();
                if (hasCollector)
                {
                    metrics.AddOtlpExporter();
                }
            })
            .WithTracing(traces =>
            {
                traces.AddSource(RegistryMetrics.Name).AddAspNetCoreInstrumentation();
                if (hasCollector)
                {
                    traces.AddOtlpExporter();
                }
            });
    }

    private static void AddCore(IServiceCollection services, RegistryOptions options, DataDirectory? directory)
    {
        services.AddSingleton<IMemoryPoolFactory<byte>, TransportMemory>();
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton<RegistryMetrics>();
        services.AddSingleton<ProcessMemory>();
        var database = DatabaseOf(options, directory);
        services.AddSingleton(database);
        services.AddSingleton<RoomGate>();
        services.AddRegistryStorage(database, options.Limits.ProjectBytes > 0 ? options.Limits.ProjectBytes : null);
        services.AddSingleton<ServerCertificate>();
        services.AddSingleton<StoreOpener>();
        AddCallers(services, options);
        if (options.Quota.UseKeystoneLimits)
        {
            services.TryAddSingleton<KeystoneClient>();
            services.AddSingleton<IProjectLimits, KeystoneLimits>();
        }

        services.AddSingleton<LocalCache>();
        services.AddSingleton<CacheCommands>();
        services.AddSingleton<StoreSet>();
        services.AddSingleton<DiscardedBlobs>();
        services.AddSingleton<WholeLocations>();
        services.AddSingleton<ChunkPool>();
        services.AddSingleton<ImageCommands>();
        services.AddSingleton<MemberCommands>();
        services.AddSingleton<MetadefCommands>();
        services.AddSingleton<MetadefLoader>();
        services.AddSingleton<BlobIntake>();
        services.AddSingleton<UploadSlots>();
        services.AddSingleton<ImageUploads>();
        services.AddSingleton<ImageDownloads>();
        services.AddSingleton<ImageSends>();
        services.AddSingleton<StoredDisks>();
        services.AddSingleton<DirectReads>();
        services.AddSingleton<ReadShares>();
        services.AddSingleton<JobSignal>();
        services.AddSingleton<JobAttempts>();
        services.AddSingleton<JobCommands>();
        services.AddSingleton<IJobHandler, ReapJob>();
        services.AddSingleton<IJobHandler, ScrubJob>();
        services.AddSingleton<IJobHandler, CopyJob>();
        services.AddSingleton<IJobHandler, RepairJob>();
        services.AddSingleton<IJobHandler, ProvisionJob>();
        services.AddSingleton<ProvisionCommands>();
        services.AddSingleton<ImageCopier>();
        services.AddSingleton<ImageRepair>();
        if (options.Events.IsWanted)
        {
            services.AddSingleton<Webhook>();
            services.AddSingleton<IJobHandler, EventJob>();
        }

        AddImports(services);
        services.AddSingleton<NbdCache>();
        services.AddSingleton<NbdDisks>();
        services.AddSingleton<NbdTickets>();
        services.AddSingleton<NbdKeeper>();
        services.AddSingleton<NbdOverlayRooms>();
        services.AddSingleton<NbdLobby>();
        services.AddSingleton<NbdDoor>();
        services.AddSingleton<NbdTls>();
        services.AddSingleton<NbdListener>();
        services.AddHostedService<Startup>();
        services.AddHostedService<JobRunner>();
        services.AddHostedService<CacheFiller>();
        services.AddHostedService<ClockWatch>();
    }

    private static DatabaseOptions DatabaseOf(RegistryOptions options, DataDirectory? directory) => new()
    {
        Kind = options.IsEmbedded ? DatabaseKind.Sqlite : DatabaseKind.Postgres,
        ConnectionString = options.Database.ConnectionString.Length > 0
            ? options.Database.ConnectionString
            : directory!.ConnectionString,
        Events = options.Events.IsWanted ? Selection(options) : null,
        PropertyBytesMax = options.Limits.PropertyBytes,
        Reserve = directory?.Reserve,
    };

    private static EventSelection Selection(RegistryOptions options) => new(options.Events.DisabledWords)
    {
        TaskType = job => job.Kind == ImportOrder.Kind ? TaskJson.Type(job) : null,
        TasksKept = options.Jobs.Keep,
    };

    private static void AddImports(IServiceCollection services)
    {
        services.AddSingleton<OutboundClient>();
        services.AddSingleton<TokenSeal>();
        services.AddSingleton(provider => new RemoteGlance(
            provider.GetService<KeystoneClient>(),
            provider.GetRequiredService<OutboundClient>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<IOptions<RegistryOptions>>()));
        services.AddSingleton<ImageStaging>();
        services.AddSingleton<ImportSteps>();
        services.AddSingleton<ImportCommands>();
        services.AddSingleton<IJobHandler, ImportJob>();
        services.AddSingleton<TaskCommands>();
        services.AddSingleton<LocationSources>();
        services.AddSingleton<LocationViews>();
        services.AddSingleton<LocationCommands>();
    }

    private static void AddCallers(IServiceCollection services, RegistryOptions options)
    {
        var auth = options.Auth;
        services.AddSingleton<PolicyEngine>();
        services.AddSingleton<CustomProperties>();
        services.AddSingleton<PropertyProtections>();
        switch (auth.Kind)
        {
            case "keystone":
                services.AddSingleton<KeystoneClient>();
                services.AddSingleton<TokenCache>();
                services.AddSingleton<ICallerSource, KeystoneCallers>();
                break;
            case "proxy":
                services.AddSingleton<ICallerSource>(provider => new ProxyCallers(
                    auth.TrustedNetworks(), provider.GetRequiredService<PolicyEngine>()));
                break;
            default:
                var gate = new BrowserGate(options);
                var caller = new ImplicitCaller(auth.Project, gate);
                services.AddSingleton(gate);
                services.AddSingleton(caller);
                services.AddSingleton<ICallerSource>(caller);
                break;
        }
    }

    private static void AddGrpc(IServiceCollection services)
    {
        services.AddGrpc(grpc =>
        {
            grpc.Interceptors.Add<GrpcErrors>();
            grpc.IgnoreUnknownServices = true; // its catch-all routes would turn the Image API's 405s into 404s
        });
        services.AddOptions<GrpcServiceOptions>().Configure<ProcessMemory>(
            (grpc, memory) => grpc.MaxReceiveMessageSize = GrpcGate.MessageBytes(memory.Whole.Bytes));
        services.AddGrpcReflection();
        services.AddOpenApiDocument();
        services.AddGrpcHealthChecks().AddCheck<DatabaseHealth>("database").AddCheck<RoomHealth>("room");
    }

    private static void MapPipeline(WebApplication app)
    {
        app.UseConnectionLimits();
        app.UseOpenTelemetryPrometheusScrapingEndpoint(
            context => context.Request.Path == "/metrics" && Listeners.Of(context) == Listener.Metrics);
        app.UseWhen(context => Listeners.Of(context) == Listener.Http, http =>
        {
            http.UseMiddleware<RequestId>();
            http.UseCors(); // a browser asks before it has a token
            http.UseMiddleware<ErrorMiddleware>();
            http.Use(next => context => VersionEndpoints.NegotiateAsync(context, next));
            http.Use(RouteErrors.InvokeAsync);
            http.Use(RouteErrors.RefuseNulAsync);
        });
        app.UseWhen(context => !Listeners.IsServed(context), other => other.Run(context =>
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }));
        app.UseWhen(context => Listeners.Of(context) == Listener.Grpc, grpc => grpc.UseMiddleware<GrpcGate>());
        app.UseMiddleware<CallerMiddleware>();
        app.Use(RouteErrors.RefuseEmptyNamesAsync);
        app.Use(app.Services.GetRequiredService<RoomGate>().InvokeAsync);
        app.UseRouting();
        app.Use(Listeners.RequireOwnRouteAsync);
        app.Use(RouteErrors.RefuseOtherCaseAsync);

        // Where most refusals come from: each step that one passes on its way out throws it again, which is what it costs.
        app.UseWhen(
            context => Listeners.Of(context) == Listener.Http, http => http.UseMiddleware<ErrorMiddleware>());

        app.MapVersions();
        app.MapHealth();
        var extensions = app.MapGroup("/registry/v1");
        extensions.MapDescription();
        extensions.MapOpenApiDocument();
        extensions.MapDisks();
        extensions.MapExtents();
        extensions.MapDiskJson();
        extensions.MapNbd();
        extensions.MapProvisions();
        extensions.MapJobs();
        var v2 = app.MapGroup("/v2");
        v2.MapImages();
        v2.MapImageData();
        v2.MapImports();
        v2.MapLocations();
        v2.MapTasks();
        v2.MapMembers();
        v2.MapTags();
        v2.MapMetadefs();
        v2.MapSchemas();
        v2.MapStores();
        v2.MapCache();
        v2.MapUsage();
        app.MapGrpcService<ImagesGrpc>();
        app.MapGrpcService<ProvisioningGrpc>();
        app.MapGrpcService<JobsGrpc>();
        app.MapGrpcReflectionService();
        app.MapGrpcHealthChecksService();
    }
}
