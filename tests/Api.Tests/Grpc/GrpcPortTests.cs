using System.Net;
using Grpc.Core;
using Registry.Api.Tests.Auth;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Grpc;

/// <summary>The gRPC port serves gRPC and nothing else, and says everything in gRPC's way.</summary>
public sealed class GrpcPortTests
{
    private static readonly string[] HttpRoutes =
    [
        "GET /v2/images", "POST /v2/images", "GET /", "GET /versions", "GET /healthcheck", "GET /livez", "GET /readyz",
        "GET /registry/v1", "GET /registry/v1/jobs", "POST /registry/v1/scrubs", "GET /metrics", "DELETE /v2/images/x",
        "GET /v2/nothing", "GET /v2/images/", "GET /registry.v1.Images/List",
    ];

    [Fact]
    public async Task No_route_of_http_is_served_on_the_grpc_port()
    {
        await using var app = new RegistryApp();
        await app.InitializeAsync();
        using var http = new HttpClient { DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        foreach (var route in HttpRoutes)
        {
            foreach (var type in new[] { "application/grpc", "application/grpc+proto", "application/grpc;x=y" })
            {
                using var response = await SendAsync(http, app, route, type);
                Assert.Equal(200, (int)response.StatusCode);
                Assert.Equal("application/grpc", response.Content.Headers.ContentType?.MediaType);
                Assert.Equal("12", Assert.Single(response.Headers.GetValues("grpc-status")));
                Assert.Equal("", await response.Content.ReadAsStringAsync(RegistryApp.Stop));
            }

            foreach (var type in new[] { "application/json", "application/grpc-web", "application/grpcx", "text/plain" })
            {
                using var response = await SendAsync(http, app, route, type);
                Assert.Equal(404, (int)response.StatusCode);
                Assert.Equal("", await response.Content.ReadAsStringAsync(RegistryApp.Stop));
            }
        }
    }

    [Fact]
    public async Task No_grpc_method_is_served_on_the_http_port()
    {
        await using var app = new RegistryApp();
        await app.InitializeAsync();
        foreach (var path in new[]
        {
            "/registry.v1.Images/List", "/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        })
        {
            using var response = await app.SendAsync(HttpMethod.Post, path, "x", "application/grpc");
            Assert.Equal(300, (int)response.StatusCode); // the versions, as for every path that is not known
            Assert.False(response.Headers.Contains("grpc-status"));
        }
    }

    [Fact]
    public async Task A_caller_is_required_everywhere_but_for_health_and_reflection()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        var invoker = lab.App.Grpc.CreateCallInvoker();
        foreach (var (caller, expected) in new[]
        {
            (new Metadata(), StatusCode.Unauthenticated), (ProxyApp.Identity("p"), StatusCode.Unimplemented),
        })
        {
            foreach (var path in new[] { "registry.v1.Images/Nothing", "registry.v1.Nothing/List", "v2/images" })
            {
                var parts = path.Split('/');
                var bytes = Marshallers.Create<byte[]>(content => content, content => content);
                var refused = await Assert.ThrowsAsync<RpcException>(() => invoker.AsyncUnaryCall(
                    new Method<byte[], byte[]>(MethodType.Unary, parts[0], parts[1], bytes, bytes), null,
                    new CallOptions(caller, cancellationToken: RegistryApp.Stop), []).ResponseAsync);
                Assert.Equal(expected, refused.StatusCode);
            }
        }
    }

    [Fact]
    public async Task While_the_identity_service_is_away_calls_are_unavailable()
    {
        await using var keystone = new ScriptedKeystone { FailWith = 503 };
        await using var app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "keystone",
                ["Registry:Auth:Keystone:Url"] = keystone.Url,
                ["Registry:Auth:Keystone:Username"] = "registry",
                ["Registry:Auth:Keystone:Password"] = "secret",
            },
        };
        await app.InitializeAsync();
        var headers = new Metadata { { "x-auth-token", "token" } };
        var images = new Protos.V1.Images.ImagesClient(app.Grpc);
        var calls = new Func<Task>[]
        {
            () => images.ListAsync(new ListImagesRequest(), headers, cancellationToken: RegistryApp.Stop).ResponseAsync,
            async () => await images.Download(
                new DownloadRequest { Id = "x" }, headers, cancellationToken: RegistryApp.Stop).ResponseStream.MoveNext(RegistryApp.Stop),
            () => images.Upload(headers, cancellationToken: RegistryApp.Stop).ResponseAsync,
        };
        foreach (var call in calls)
        {
            var refused = await Assert.ThrowsAsync<RpcException>(call);
            Assert.Equal(StatusCode.Unavailable, refused.StatusCode);
            var detail = ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes("registry-error-bin"));
            Assert.Equal("identity_unavailable", detail.Code);
        }
    }

    private static Task<HttpResponseMessage> SendAsync(HttpClient http, RegistryApp app, string route, string type)
    {
        var parts = route.Split(' ');
        var request = new HttpRequestMessage(new HttpMethod(parts[0]), $"http://{app.Grpc.Target}{parts[1]}")
        {
            Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([]),
        };
        request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
        return http.SendAsync(request, RegistryApp.Stop);
    }
}
