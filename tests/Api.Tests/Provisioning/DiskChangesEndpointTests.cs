using System.Net.Http.Json;
using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>What changed from an image to another, with qemu-img as the judge.</summary>
public sealed class DiskChangesEndpointTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    [InlineData("qcow2", "-c")]
    [InlineData("qcow2", "-o", "cluster_size=4k")]
    public async Task A_client_that_applies_the_changes_to_a_copy_of_the_base_has_the_derived_image(
        string format, params string[] options)
    {
        var (older, newer, since, id) = await DerivedAsync(format, options);
        var answer = await app.Http.GetFromJsonAsync<JsonElement>(
            $"/registry/v1/images/{id}/changes?since={since}", RegistryApp.Stop);
        Assert.Equal(newer.Length, answer.GetProperty("virtual_size").GetInt64());
        Array.Resize(ref older, newer.Length);
        var changed = 0L;
        foreach (var run in answer.GetProperty("changes").EnumerateArray())
        {
            var (start, length) = (run.GetProperty("start").GetInt32(), run.GetProperty("length").GetInt32());
            changed += length;
            if (run.GetProperty("zero").GetBoolean())
            {
                older.AsSpan(start, length).Clear();
                continue;
            }

            using var request = new HttpRequestMessage(HttpMethod.Get, $"/registry/v1/images/{id}/disk?format=raw");
            request.Headers.Range = new(start, start + length - 1);
            using var part = await app.Http.SendAsync(request, RegistryApp.Stop);
            (await part.Content.ReadAsByteArrayAsync(RegistryApp.Stop)).CopyTo(older, start);
        }

        Assert.Equal(newer, older);
        Assert.InRange(changed, 1, 12 * 65_536); // 10 places were touched

        var messages = new Protos.V1.Provisioning.ProvisioningClient(app.Grpc).GetChanges(
            new GetChangesRequest { ImageId = id, SinceImageId = since }, cancellationToken: RegistryApp.Stop);
        var extents = new List<ChangedExtent>();
        await foreach (var message in messages.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            extents.AddRange(message.Extents);
        }

        Assert.Equal(
            answer.GetProperty("changes").EnumerateArray().Select(run => run.GetProperty("start").GetInt64()),
            extents.Select(extent => extent.Start));
    }

    [Fact]
    public async Task The_map_tells_what_gRPC_tells()
    {
        var (_, newer, _, id) = await DerivedAsync("qcow2", []);
        var answer = await app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/images/{id}/map", RegistryApp.Stop);
        Assert.Equal("qcow2", answer.GetProperty("format").GetString());
        Assert.Equal(65_536, answer.GetProperty("cluster_size").GetInt32());
        var extents = answer.GetProperty("extents").EnumerateArray().ToList();
        Assert.Equal(newer.Length, extents.Sum(extent => extent.GetProperty("length").GetInt64()));
        var messages = new Protos.V1.Provisioning.ProvisioningClient(app.Grpc).GetMap(
            new GetMapRequest { ImageId = id }, cancellationToken: RegistryApp.Stop);
        var told = new List<string>();
        await foreach (var message in messages.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            told.AddRange(message.Extents.Select(extent => $"{extent.Start} {extent.Kind}"));
        }

        Assert.Equal(
            told,
            extents.Select(extent => $"{extent.GetProperty("start")} {extent.GetProperty("kind")}"),
            StringComparer.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Without_an_image_to_compare_with_it_is_refused()
    {
        var (_, _, _, id) = await DerivedAsync("raw", []);
        foreach (var (query, status) in new[] { ("", 400), ($"?since={Guid.NewGuid()}", 404) })
        {
            using var response = await app.SendAsync(HttpMethod.Get, $"/registry/v1/images/{id}/changes{query}");
            Assert.Equal(status, (int)response.StatusCode);
        }
    }

    // A base, and a snapshot of an instance that ran from it: ten places written, grown a little.
    private async Task<(byte[] Older, byte[] Newer, string Since, string Id)> DerivedAsync(
        string format, string[] options)
    {
        using var directory = new TempDirectory();
        var random = new Random(7);
        var older = new byte[4 << 20];
        random.NextBytes(older.AsSpan(1 << 20, 1 << 20));
        var newer = new byte[(4 << 20) + 512];
        older.CopyTo(newer, 0);
        for (var n = 0; n < 10; n++)
        {
            random.NextBytes(newer.AsSpan(random.Next(newer.Length - 10), 10));
        }

        newer.AsSpan(1_500_000, 10).Clear();
        return (older, newer, await AddAsync(older, "base"), await AddAsync(newer, "derived"));

        async Task<string> AddAsync(byte[] content, string name)
        {
            var (raw, image) = (directory.File(name + ".raw"), directory.File(name));
            await File.WriteAllBytesAsync(raw, content, RegistryApp.Stop);
            await _qemuImg.OutputAsync(RegistryApp.Stop, ["convert", "-f", "raw", "-O", format, .. options, raw, image]);
            return await app.UploadAsync(await File.ReadAllBytesAsync(image, RegistryApp.Stop), format);
        }
    }
}
