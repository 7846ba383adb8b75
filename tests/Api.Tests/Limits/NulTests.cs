using System.Text;
using Google.Protobuf.Collections;
using Grpc.Core;
using Registry.Api.Tests.Nbd;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Limits;

public sealed class SqliteNulTests(NulTests.SqliteApp app) : NulTests(app), IClassFixture<NulTests.SqliteApp>;
public sealed class PostgresNulTests(NulTests.PostgresApp app) : NulTests(app), IClassFixture<NulTests.PostgresApp>;

/// <summary>U+0000 in a text is refused alike whatever the database, wherever a client can put it.</summary>
public abstract class NulTests
{
    private const string Nul = "a\\u0000b";

    private readonly NbdApp _app;

    protected NulTests(NbdApp app)
    {
        app.Require();
        _app = app;
    }

    public static TheoryData<string, string> Bodies => new()
    {
        { "POST /v2/images", $$"""{"name":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"{{Nul}}":"x"}""" },
        { "POST /v2/images", $$"""{"x":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"tags":["{{Nul}}"]}""" },
        { "POST /v2/images", $$"""{"owner":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"id":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"visibility":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"kernel_id":"{{Nul}}"}""" },
        { "POST /v2/images", $$"""{"name":"\u0000"}""" },
        { "POST /v2/images", $$"""{"name":"\ud83d\ude00\u0000"}""" },
        { "PATCH /v2/images/ID", $$"""[{"op":"replace","path":"/name","value":"{{Nul}}"}]""" },
        { "PATCH /v2/images/ID", $$"""[{"op":"add","path":"/{{Nul}}","value":"x"}]""" },
        { "PATCH /v2/images/ID", $$"""[{"op":"add","path":"/x","value":"{{Nul}}"}]""" },
        { "PATCH /v2/images/ID", $$"""[{"op":"replace","path":"/tags","value":["{{Nul}}"]}]""" },
        { "PATCH /v2/images/ID", $$"""[{"op":"remove","path":"/{{Nul}}"}]""" },
        { "POST /v2/images/ID/members", $$"""{"member":"{{Nul}}"}""" },
        { "PUT /v2/images/ID/members/x", $$"""{"status":"{{Nul}}"}""" },
        { "POST /v2/images/ID/import", $$$$"""{"method":{"name":"web-download","uri":"http://a.example/{{{{Nul}}}}"}}""" },
        { "POST /v2/images/ID/locations", $$"""{"url":"https://a.example/{{Nul}}"}""" },
        { "POST /v2/tasks", $$$$"""{"type":"import","input":{"import_from":"{{{{Nul}}}}","import_from_format":"raw","image_properties":{}}}""" },
        { "POST /v2/metadefs/namespaces", $$"""{"namespace":"{{Nul}}"}""" },
        { "POST /v2/metadefs/namespaces", $$"""{"namespace":"n","description":"{{Nul}}"}""" },
        { "POST /v2/metadefs/namespaces", $$"""{"namespace":"n","tags":[{"name":"{{Nul}}"}]}""" },
        { "POST /v2/metadefs/namespaces", $$$$"""{"namespace":"n","properties":{"p":{"title":"{{{{Nul}}}}","type":"string"}}}""" },
        { "POST /v2/metadefs/namespaces", $$$$"""{"namespace":"n","properties":{"{{{{Nul}}}}":{"title":"t","type":"string"}}}""" },
        { "POST /v2/metadefs/namespaces", $$"""{"namespace":"n","objects":[{"name":"{{Nul}}"}]}""" },
        { "PUT /v2/metadefs/namespaces/kept", $$"""{"namespace":"{{Nul}}"}""" },
        { "POST /v2/metadefs/namespaces/kept/objects", $$"""{"name":"{{Nul}}"}""" },
        { "POST /v2/metadefs/namespaces/kept/properties", $$"""{"name":"{{Nul}}","title":"t","type":"string"}""" },
        { "POST /v2/metadefs/namespaces/kept/tags", $$"""{"tags":[{"name":"{{Nul}}"}]}""" },
        { "PUT /v2/metadefs/namespaces/kept/tags/t", $$"""{"name":"{{Nul}}"}""" },
        { "POST /v2/metadefs/namespaces/kept/resource_types", $$"""{"name":"{{Nul}}"}""" },
        { "POST /registry/v1/images/ID/copies", $$"""{"store":"{{Nul}}"}""" },
        { "POST /registry/v1/images/ID/nbd", $$"""{"keep_as":"{{Nul}}"}""" },
        { "POST /registry/v1/provisions", $$"""{"image_id":"ID","name":"{{Nul}}"}""" },
        { "POST /registry/v1/provisions", $$"""{"image_id":"{{Nul}}","name":"x"}""" },
        { "POST /registry/v1/scrubs", $$"""{"store":"{{Nul}}"}""" },
    };

    public static TheoryData<string> Addresses =>
    [
        "GET /v2/images/%00", "GET /v2/images/ID%00", "GET /v2/images/ID/file%00", "PUT /v2/images/ID/tags/a%00b",
        "DELETE /v2/images/ID/tags/a%00b", "GET /v2/images/ID/members/a%00b", "DELETE /v2/images/ID/members/%00",
        "GET /v2/images?name=a%00b", "GET /v2/images?name=in:%22a%00b%22", "GET /v2/images?tag=%00", "GET /v2/images?owner=%00",
        "GET /v2/images?x=%00", "GET /v2/images?%00=x", "GET /v2/images?marker=%00", "GET /v2/images?id=in:%00",
        "GET /v2/images?status=%00", "GET /v2/images?os_hash_value=%00", "GET /v2/images?sort=%00", "GET /v2/images?a=1&checksum=%00",
        "GET /v2/metadefs/namespaces/%00", "GET /v2/metadefs/namespaces?marker=%00", "GET /v2/metadefs/namespaces?resource_types=%00",
        "GET /v2/metadefs/namespaces/kept/tags?marker=%00", "GET /v2/metadefs/namespaces/kept/objects/%00",
        "POST /v2/metadefs/namespaces/kept/tags/%00", "DELETE /v2/metadefs/namespaces/kept/resource_types/%00",
        "DELETE /v2/stores/%00/ID", "DELETE /v2/stores/default/%00", "GET /v2/tasks?type=%00", "GET /v2/tasks/%00",
        "GET /registry/v1/jobs?kind=%00", "GET /registry/v1/jobs?image_id=%00", "GET /registry/v1/jobs/%00",
        "GET /registry/v1/images/%00/disk", "GET /registry/v1/images/ID/changes?since=%00", "PUT /v2/cache/%00", "DELETE /v2/cache/%00",
    ];

    [Theory]
    [MemberData(nameof(Bodies))]
    public async Task In_a_body_it_is_refused(string request, string body)
    {
        var id = await _app.CreateAsync();
        await MakeNamespaceAsync();
        var (method, path) = Split(request, id);
        using var response = await _app.SendAsync(
            method, path, body.Replace("ID", id, StringComparison.Ordinal),
            method == HttpMethod.Patch ? Registry.Api.Images.ImagePatch.MediaType21 : "application/json");
        Assert.True(
            400 == (int)response.StatusCode, $"{(int)response.StatusCode} {await response.Content.ReadAsStringAsync(RegistryApp.Stop)}");
    }

    [Theory]
    [MemberData(nameof(Addresses))]
    public async Task In_an_address_it_is_refused(string request)
    {
        var id = await _app.CreateAsync();
        await MakeNamespaceAsync();
        var (method, path) = Split(request, id);
        using var client = new System.Net.Sockets.TcpClient();
        await client.ConnectAsync(_app.Url.Host, _app.Url.Port, RegistryApp.Stop);
        var stream = client.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes($"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), RegistryApp.Stop);
        using var reader = new StreamReader(stream);
        Assert.StartsWith("HTTP/1.1 400 ", await reader.ReadLineAsync(RegistryApp.Stop), StringComparison.Ordinal);
    }

    [Fact]
    public async Task In_a_message_it_is_refused()
    {
        var id = await _app.CreateAsync();
        var images = new Protos.V1.Images.ImagesClient(_app.Grpc);
        var jobs = new Protos.V1.Jobs.JobsClient(_app.Grpc);
        var disks = new Protos.V1.Provisioning.ProvisioningClient(_app.Grpc);
        const string Text = "a\0b";
        CreateImageRequest Create(Action<MapField<string, string>> set)
        {
            var request = new CreateImageRequest();
            set(request.Properties);
            return request;
        }

        var calls = new Func<Task>[]
        {
            () => images.CreateAsync(new CreateImageRequest { Name = Text }).ResponseAsync,
            () => images.CreateAsync(new CreateImageRequest { Tags = { "x", Text } }).ResponseAsync,
            () => images.CreateAsync(Create(properties => properties.Add(Text, "x"))).ResponseAsync,
            () => images.CreateAsync(Create(properties => properties.Add("x", Text))).ResponseAsync,
            () => images.GetAsync(new GetImageRequest { Id = Text }).ResponseAsync,
            () => images.ListAsync(new ListImagesRequest { Name = Text }).ResponseAsync,
            () => images.UpdateAsync(new UpdateImageRequest { Id = id, Name = Text }).ResponseAsync,
            () => images.UpdateAsync(new UpdateImageRequest { Id = id, RemoveTags = { Text } }).ResponseAsync,
            () => images.UpdateAsync(new UpdateImageRequest { Id = id, RemoveProperties = { Text } }).ResponseAsync,
            () => images.DeleteAsync(new DeleteImageRequest { Id = Text }).ResponseAsync,
            () => images.Download(new DownloadRequest { Id = Text }).ResponseStream.MoveNext(RegistryApp.Stop),
            () => jobs.GetAsync(new GetJobRequest { Id = Text }).ResponseAsync,
            () => jobs.ListAsync(new ListJobsRequest { Kind = Text }).ResponseAsync,
            () => jobs.CopyAsync(new CopyImageRequest { ImageId = id, Store = Text }).ResponseAsync,
            () => jobs.ProvisionAsync(new ProvisionImageRequest { ImageId = id, Name = Text }).ResponseAsync,
            () => jobs.ScrubAsync(new ScrubStoresRequest { Store = Text }).ResponseAsync,
            () => disks.ReadDisk(new ReadDiskRequest { ImageId = Text }).ResponseStream.MoveNext(RegistryApp.Stop),
            () => disks.GetMap(new GetMapRequest { ImageId = Text }).ResponseStream.MoveNext(RegistryApp.Stop),
            async () =>
            {
                using var upload = images.Upload(cancellationToken: RegistryApp.Stop);
                await upload.RequestStream.WriteAsync(
                    new UploadRequest { Start = new UploadStart { Id = Text } }, RegistryApp.Stop);
                await upload.ResponseAsync;
            },
        };
        foreach (var (number, call) in calls.Index())
        {
            var refused = await Assert.ThrowsAsync<RpcException>(call);
            Assert.True(StatusCode.InvalidArgument == refused.StatusCode, $"{number}: {refused}");
        }
    }

    [Fact]
    public async Task In_the_name_of_an_export_it_is_refused()
    {
        foreach (var name in new[] { "\0", "a\0b", "a\0b+overlay", "a+overlay=\0" })
        {
            using var wire = await NbdWire.ConnectAsync(_app.Port);
            var answer = (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text(name), 0, 0]))[^1].Type;
            Assert.Equal(NbdWire.Unknown, answer);
        }
    }

    private async Task MakeNamespaceAsync()
    {
        using var made = await _app.SendAsync(
            HttpMethod.Post, "/v2/metadefs/namespaces", """{"namespace":"kept","tags":[{"name":"t"}]}""");
        Assert.Contains((int)made.StatusCode, new[] { 201, 409 });
    }

    private static (HttpMethod Method, string Path) Split(string request, string id)
    {
        var parts = request.Replace("ID", id, StringComparison.Ordinal).Split(' ');
        return (new HttpMethod(parts[0]), parts[1]);
    }

    /// <summary>On the embedded database.</summary>
    public sealed class SqliteApp : NbdApp;

    /// <summary>On PostgreSQL.</summary>
    public sealed class PostgresApp : NbdApp
    {
        private PostgresServer? _postgres;

        public override void Require()
        {
            Assert.SkipWhen(_postgres is null && !ExternalTool.IsStrict, "PostgreSQL is not installed.");
            Assert.NotNull(_postgres);
        }

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            if (_postgres is not null)
            {
                await _postgres.DisposeAsync();
            }
        }

        protected override async Task<Dictionary<string, string?>> SettingsAsync()
        {
            _postgres = await PostgresServer.StartAsync();
            await _postgres.CreateDatabaseAsync("nul");
            var settings = new Dictionary<string, string?>(NbdSettings())
            {
                ["Registry:Database:Kind"] = "postgres",
                ["Registry:Database:ConnectionString"] = _postgres.ConnectionString("nul"),
            };
            await RegistryProcess.RunDbAsync(
                "upgrade", settings.ToDictionary(one => one.Key.Replace(":", "__", StringComparison.Ordinal), one => one.Value!), Stop);
            return settings;
        }
    }
}
