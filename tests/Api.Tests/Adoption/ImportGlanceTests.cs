using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Registry.Support;

[assembly: AssemblyFixture(typeof(Registry.Api.Tests.Adoption.GlanceLab))]

namespace Registry.Api.Tests.Adoption;

/// <summary>What was in Debian's real Glance is in the registry, and its API says the same of it.</summary>
public sealed class ImportGlanceTests(GlanceLab glance, SharedS3 s3)
{
    // Where the two must differ: where the bytes are.
    private static readonly string[] AboutPlaces = ["stores", "direct_url", "locations"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Into_the_embedded_registry_in_place()
    {
        await glance.StartAsync(s3);
        using var directory = new TempDirectory();
        var registry = new ImportLine(directory, glance.BucketSettings(1));
        registry.Settings["Registry:Stores:0:Id"] = "default";
        registry.Settings["Registry:Stores:0:Path"] = registry.Blobs;
        await registry.UpgradeAsync();
        var count = Images.Count;

        var rehearsal = await registry.RunAsync(glance.Connection(), glance.Stores, "--dry-run");
        Assert.True(rehearsal.ExitCode == 0, rehearsal.Output + rehearsal.Error);
        Assert.Contains($"images: {count} would be taken", rehearsal.Output, StringComparison.Ordinal);

        var first = await registry.RunAsync(glance.Connection(), glance.Stores);
        Assert.True(first.ExitCode == 0, first.Output + first.Error);
        Assert.Contains(
            $"image {GlanceContent.Public}: taken (active, {GlanceContent.LargeBytes} bytes in place)", first.Output,
            StringComparison.Ordinal);
        Assert.Contains(
            $"images: {count} taken, 0 there already, 0 left out, 1 deleted or given up in Glance", first.Output,
            StringComparison.Ordinal);
        Assert.Equal(
            await InodeAsync(Path.Combine(glance.Stores[0], GlanceContent.Public)),
            await InodeAsync(Directory.GetFiles(
                Path.Combine(registry.Blobs, GlanceContent.Public), "data", SearchOption.AllDirectories)[0]));

        var again = await registry.RunAsync(glance.Connection(), glance.Stores, "--copy", "--output=json");
        Assert.Equal(0, again.ExitCode);
        var counts = JsonSerializer.Deserialize<JsonElement>(again.Output);
        Assert.Equal((0, count), Counts(counts.GetProperty("images")));
        Assert.Equal((0, GlanceContent.Namespaces), Counts(counts.GetProperty("namespaces")));
        foreach (var file in Directory.GetFiles(registry.Data, "registry.db*"))
        {
            // The keys are in Glance's locations, and in none of ours.
            Assert.Equal(-1, (await File.ReadAllBytesAsync(file, Stop)).AsSpan().IndexOf("canary-secret"u8));
        }

        await using var served = await RegistryProcess.StartAsync(registry.Data, Stop, registry.Variables());
        await CompareAsync(served);
    }

    [Fact]
    public async Task Into_PostgreSQL_and_S3_from_files_and_from_a_bucket()
    {
        SharedS3.Require();
        await glance.StartAsync(s3);
        var server = await s3.GetAsync();
        using var directory = new TempDirectory();
        var settings = SharedS3.Settings(0, "main", server.Endpoint, server.NewBucket());
        settings["Registry:Database:Kind"] = "postgres";
        settings["Registry:Database:ConnectionString"] = await glance.NewRegistryDatabaseAsync();
        var registry = new ImportLine(directory, settings);
        await registry.UpgradeAsync();

        // In place is not possible, and a bucket that the operator does not know of is not read.
        var inPlace = await registry.LeftAsync(glance.Connection(), glance.Stores);
        Assert.Equal("not_in_place", inPlace[GlanceContent.Public]);
        var partly = await registry.RunAsync(glance.Connection(), glance.Stores, "--copy");
        Assert.Equal(2, partly.ExitCode);
        Assert.Contains("bucket_not_configured", partly.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(CephS3.SecretKey, partly.Output + partly.Error, StringComparison.Ordinal);

        foreach (var (name, value) in glance.BucketSettings(1))
        {
            registry.Settings[name] = value;
        }

        var rest = await registry.RunAsync(glance.Connection(), glance.Stores);
        Assert.True(rest.ExitCode == 0, rest.Output + rest.Error);
        Assert.Contains("images: 1 taken, 6 there already", rest.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(CephS3.SecretKey, rest.Output + rest.Error, StringComparison.Ordinal);
        await using var served = await RegistryProcess.StartAsync(
            Directory.CreateDirectory(registry.Data).FullName, Stop, registry.Variables());
        await CompareAsync(served);
    }

    private List<string> Images =>
        glance.HasBucket ? [.. GlanceContent.InFiles, GlanceContent.InBucket] : [.. GlanceContent.InFiles];

    private async Task CompareAsync(RegistryProcess served)
    {
        foreach (var id in Images)
        {
            var (theirs, ours) = (
                await glance.SendAsync(HttpMethod.Get, $"/v2/images/{id}"), await GetAsync(served, $"/v2/images/{id}"));
            AssertSame(Normal(theirs), Normal(ours));
            if (theirs.GetProperty("checksum").ValueKind != JsonValueKind.Null)
            {
                Assert.Equal(
                    await glance.DownloadAsync(id), await served.Client.GetByteArrayAsync($"/v2/images/{id}/file", Stop));
            }
        }

        using var deleted = await served.Client.GetAsync($"/v2/images/{GlanceContent.Deleted}", Stop);
        Assert.Equal(404, (int)deleted.StatusCode);
        await CompareAsync(served, $"/v2/images/{GlanceContent.Shared}/members");
        await CompareAsync(served, "/v2/metadefs/resource_types");
        await CompareAsync(served, $"/v2/metadefs/namespaces/{GlanceContent.Namespace}");
        await CompareAsync(served, $"/v2/metadefs/namespaces/{GlanceContent.Namespace}/objects/machine");
        await CompareAsync(served, $"/v2/metadefs/namespaces/{GlanceContent.Namespace}/resource_types");
        var list = await glance.SendAsync(HttpMethod.Get, "/v2/metadefs/namespaces?limit=100");
        Assert.Equal(GlanceContent.Namespaces, list.GetProperty("namespaces").GetArrayLength());
        foreach (var definitions in list.GetProperty("namespaces").EnumerateArray())
        {
            await CompareAsync(served, $"/v2/metadefs/namespaces/{definitions.GetProperty("namespace").GetString()}");
        }
    }

    private async Task CompareAsync(RegistryProcess served, string path)
    {
        var (theirs, ours) = (
            Normal(await glance.SendAsync(HttpMethod.Get, path)), Normal(await GetAsync(served, path)));
        Align(theirs, ours);
        AssertSame(theirs, ours);
    }

    // What never changed says nothing of it in Glance, and when it was made in the registry; what resource types there are
    // never changes in the registry; an object that requires nothing says so in Glance by an empty list; and Glance's links
    // have blanks in them, which is no URL.
    private static void Align(JsonNode? theirs, JsonNode? ours, string within = "")
    {
        if (theirs is JsonObject all && ours is JsonObject others)
        {
            if (within is "resource_types" or "resource_type_associations")
            {
                all.Remove("updated_at");
            }

            if (!all.ContainsKey("updated_at"))
            {
                others.Remove("updated_at");
            }

            if (all["required"] is JsonArray { Count: 0 } && !others.ContainsKey("required"))
            {
                all.Remove("required");
            }

            if (others["self"] is JsonValue link)
            {
                others["self"] = Uri.UnescapeDataString(link.GetValue<string>());
            }

            all.ToList().ForEach(p => Align(p.Value, others[p.Key], p.Key));
        }
        else if (theirs is JsonArray list && ours is JsonArray other && list.Count == other.Count)
        {
            list.Zip(other).ToList().ForEach(pair => Align(pair.First, pair.Second, within));
        }
    }

    private static async Task<JsonElement> GetAsync(RegistryProcess served, string path) =>
        await served.Client.GetFromJsonAsync<JsonElement>(path, Stop);

    private static void AssertSame(JsonNode expected, JsonNode actual) =>
        Assert.True(JsonNode.DeepEquals(expected, actual), $"Glance: {expected}\nRegistry: {actual}");

    // Sets are lists in JSON, in no order that anybody may rely on.
    private static JsonNode Normal(JsonElement element)
    {
        var node = JsonNode.Parse(element.GetRawText())!;
        foreach (var name in AboutPlaces)
        {
            node.AsObject().Remove(name);
        }

        Sort(node);
        return node;
    }

    private static void Sort(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject all:
                all.ToList().ForEach(p => Sort(p.Value));
                break;
            case JsonArray items:
                items.ToList().ForEach(Sort);
                var sorted = items.Select(i => i!.DeepClone()).OrderBy(Name, StringComparer.Ordinal).ToList();
                items.Clear();
                sorted.ForEach(items.Add);
                break;
        }
    }

    private static string Name(JsonNode item) =>
        ((item as JsonObject)?["name"] ?? (item as JsonObject)?["member_id"] ?? item).ToJsonString();

    private static (int Taken, int There) Counts(JsonElement counts) =>
        (counts.GetProperty("taken").GetInt32(), counts.GetProperty("there").GetInt32());

    private static Task<string> InodeAsync(string path) =>
        ExternalTool.Require("stat").OutputAsync(Stop, "-c", "%d/%i", path);
}
