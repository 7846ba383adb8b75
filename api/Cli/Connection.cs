using System.CommandLine;
using System.Text.Json;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Net.Client.Configuration;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>How verbs find the server: options, environment, default.</summary>
internal static class ConnectionOptions
{
    private const string DefaultUrl = "http://127.0.0.1:9292";

    private static readonly Option<string?> Url = new("--url")
    {
        Description = $"The server's HTTP address [REGISTRY_URL, else {DefaultUrl}]",
        Recursive = true,
    };

    private static readonly Option<string?> Token = new("--token")
    {
        Description = "Identity token [OS_TOKEN]",
        Recursive = true,
    };

    private static readonly Option<string?> GrpcUrl = new("--grpc-url")
    {
        Description = "The server's gRPC address, where its own answer is not to be followed [REGISTRY_GRPC_URL]",
        Recursive = true,
    };

    /// <summary>Adds the options to all verbs.</summary>
    public static void AddTo(RootCommand root)
    {
        root.Add(Url);
        root.Add(GrpcUrl);
        root.Add(Token);
    }

    /// <summary>Connects as the command line says.</summary>
    public static Task<Connection> ConnectAsync(ParseResult parsed, CancellationToken cancellationToken) =>
        Connection.OpenAsync(
            UrlOf(parsed), TokenOf(parsed), cancellationToken,
            parsed.GetValue(GrpcUrl) ?? Environment.GetEnvironmentVariable("REGISTRY_GRPC_URL"));

    /// <summary>The Image API of the server that the command line names.</summary>
    public static ImageApi ImageApiOf(ParseResult parsed) => new(UrlOf(parsed), TokenOf(parsed));

    /// <summary>The disks of the server that the command line names.</summary>
    public static RegistryFeed FeedOf(ParseResult parsed) => new(UrlOf(parsed), TokenOf(parsed));

    /// <summary>The token that the command line, or else the environment, says; null for none.</summary>
    public static string? TokenOf(ParseResult parsed) =>
        parsed.GetValue(Token) ?? Environment.GetEnvironmentVariable("OS_TOKEN");

    private static string UrlOf(ParseResult parsed) =>
        parsed.GetValue(Url) ?? Environment.GetEnvironmentVariable("REGISTRY_URL") ?? DefaultUrl;
}

/// <summary>A connection to a registry: the HTTP address tells where gRPC is.</summary>
internal sealed class Connection : IDisposable
{
    // What only asks may be asked again: a registry, or its database, that a crowd keeps busy answers a moment later.
    private static readonly ServiceConfig Patient = new()
    {
        MethodConfigs =
        {
            new MethodConfig
            {
                Names =
                {
                    new MethodName { Service = "registry.v1.Images", Method = "Get" },
                    new MethodName { Service = "registry.v1.Images", Method = "List" },
                    new MethodName { Service = "registry.v1.Provisioning", Method = "GetMap" },
                    new MethodName { Service = "registry.v1.Provisioning", Method = "GetSource" },
                    new MethodName { Service = "registry.v1.Jobs", Method = "Get" },
                    new MethodName { Service = "registry.v1.Jobs", Method = "List" },
                },
                RetryPolicy = new RetryPolicy
                {
                    MaxAttempts = 5,
                    InitialBackoff = TimeSpan.FromMilliseconds(500),
                    MaxBackoff = TimeSpan.FromSeconds(5),
                    BackoffMultiplier = 2,
                    RetryableStatusCodes = { StatusCode.Unavailable },
                },
            },
        },
    };

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(100);

    private readonly GrpcChannel _channel;

    private Connection(GrpcChannel channel, Metadata headers)
    {
        _channel = channel;
        Headers = headers;
        Images = new Protos.V1.Images.ImagesClient(channel);
        Provisioning = new Protos.V1.Provisioning.ProvisioningClient(channel);
        Jobs = new Protos.V1.Jobs.JobsClient(channel);
    }

    /// <summary>Sent with every call.</summary>
    public Metadata Headers { get; }

    /// <summary>The images service.</summary>
    public Protos.V1.Images.ImagesClient Images { get; }

    /// <summary>The provisioning service.</summary>
    public Protos.V1.Provisioning.ProvisioningClient Provisioning { get; }

    /// <summary>The jobs service.</summary>
    public Protos.V1.Jobs.JobsClient Jobs { get; }

    /// <summary>Opens a channel to the server's gRPC, and asks the server where that is unless the user says so.</summary>
    /// <param name="url">The server's HTTP address.</param>
    /// <param name="token">Identity token; null or empty for none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="grpcUrl">The server's gRPC address; null or empty to ask.</param>
    /// <exception cref="CommandException">Nothing answers there, or not a registry, or it names another host.</exception>
    public static async Task<Connection> OpenAsync(
        string url, string? token, CancellationToken cancellationToken, string? grpcUrl = null)
    {
        var address = Address(url);
        var headers = new Metadata();
        if (!string.IsNullOrEmpty(token))
        {
            headers.Add("x-auth-token", token);
        }

        if (!string.IsNullOrEmpty(grpcUrl))
        {
            return Open(Address(grpcUrl), headers);
        }

        var grpc = await AskAsync(url, address, cancellationToken);
        if (headers.Count > 0)
        {
            NamedServer.RequireSame(address, grpc, "gRPC", $"If that is right, add --grpc-url {grpc.GetLeftPart(UriPartial.Authority)}");
        }

        return Open(grpc, headers);
    }

    private static Uri Address(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw new CommandException($"'{url}' is not a URL.");

    private static Connection Open(Uri grpc, Metadata headers) =>
        new(GrpcChannel.ForAddress(grpc, new GrpcChannelOptions { ServiceConfig = Patient }), headers);

    private static async Task<Uri> AskAsync(string url, Uri address, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            await using var body = await http.GetStreamAsync(new Uri(address, "/registry/v1"), patience.Token);
            using var description = await JsonDocument.ParseAsync(body, default, patience.Token);
            return Address(description.RootElement.GetProperty("grpc").GetString()!);
        }
        catch (HttpRequestException e)
        {
            throw new CommandException($"no registry answers at {url}: {Why(e)}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CommandException($"what is at {url} does not answer.");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new CommandException($"what answers at {url} is not a registry.");
        }
    }

    /// <summary>Finds an image by id or by name.</summary>
    /// <exception cref="CommandException">None, or more than one of that name.</exception>
    public async Task<Image> FindImageAsync(string idOrName, CancellationToken cancellationToken)
    {
        if (Guid.TryParseExact(idOrName, "D", out _))
        {
            return await Images.GetAsync(
                new GetImageRequest { Id = idOrName }, Headers, cancellationToken: cancellationToken);
        }

        var found = await Images.ListAsync(
            new ListImagesRequest { Name = idOrName, PageSize = 2 }, Headers, cancellationToken: cancellationToken);
        return found.Images.Count == 1 ? found.Images[0] : throw NotOne(idOrName, found.Images.Count);
    }

    /// <summary>Says that a name is nobody's, or more than one's.</summary>
    public static CommandException NotOne(string idOrName, int found) => found == 0
        ? new CommandException($"there is no image '{idOrName}'.")
        : new CommandException($"more than one image is called '{idOrName}'; name it by its id.");

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();

    /// <summary>Why nobody answers. Of TLS that failed, the outer exception only says so.</summary>
    internal static string Why(HttpRequestException failure) =>
        (failure.HttpRequestError == HttpRequestError.SecureConnectionError ? failure.InnerException ?? failure : failure)
        .Message;
}
