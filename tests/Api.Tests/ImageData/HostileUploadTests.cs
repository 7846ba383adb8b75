using System.Text.Json;
using Registry.Engine.Disks;
using Registry.Hostile;
using Registry.Protos.V1;

namespace Registry.Api.Tests.ImageData;

/// <summary>The whole hostile set through the HTTP API, as what it says it is, as raw and as something else.</summary>
public sealed class HostileUploadTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const int AttemptsMax = 3;
    private const long AllocatedMax = 256L << 20;
    private static readonly TimeSpan CpuMax = TimeSpan.FromSeconds(2);

    private static readonly Dictionary<string, HostileImage> Set = HostileImage.All().ToDictionary(i => i.Name);

    public static TheoryData<string> Names => [.. Set.Keys];

    /// <summary>What the inspector knows and the API does not take.</summary>
    private static readonly string[] NotDeclarable = ["luks", "gpt"];

    private Protos.V1.Images.ImagesClient Service => new(app.Grpc);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Never_becomes_an_image_that_is_interpreted(string name)
    {
        var hostile = Set[name];
        var content = hostile.Bytes;
        var stored = (await app.StoredFilesAsync()).Count;

        if (NotDeclarable.Contains(hostile.DiskFormat))
        {
            await RefuseDeclarationAsync(hostile.DiskFormat);
        }
        else
        {
            // What is two things at once may be refused for one of them before the other one has arrived.
            await RefuseWithinBudgetAsync(
                content,
                hostile.DiskFormat,
                hostile.Expected == FormatError.AmbiguousFormat ? null : FormatErrors.Code(hostile.Expected));
        }

        if (hostile.Expected != FormatError.FormatMismatch)
        {
            await RefuseAsync(content, hostile.DiskFormat == "vdi" ? "vmdk" : "vdi", reason: null);
        }

        if (!hostile.IsFineAsRaw && hostile.DiskFormat != "raw")
        {
            await RefuseAsync(content, "raw", reason: null);
        }

        Assert.Equal(stored, (await app.StoredFilesAsync()).Count);
        if (hostile.IsFineAsRaw)
        {
            await KeepAsRawAsync(content);
        }
    }

    [Fact]
    public async Task Nothing_at_all_under_the_name_of_a_format_is_never_a_disk()
    {
        var id = await app.CreateAsync("qcow2", extra: ",\"block_device_mapping\":\"[]\"");
        (await app.PutAsync(id, [])).Dispose();
        Assert.Equal(JsonValueKind.Null, (await app.ShowAsync(id)).GetProperty("virtual_size").ValueKind);
        using var disk = await app.SendAsync(HttpMethod.Get, $"/registry/v1/images/{id}/disk?format=raw");
        Assert.Equal(409, (int)disk.StatusCode);
        Assert.Equal("bad_magic", Assert.Single(disk.Headers.GetValues("X-Registry-Reason")));
    }

    /// <summary>Other tests run meanwhile: what is measured is theirs too, and only a budget missed every time
    /// counts.</summary>
    private async Task RefuseWithinBudgetAsync(byte[] content, string diskFormat, string? reason)
    {
        for (var attempt = 1; ; attempt++)
        {
            var (cpu, allocated) = (Environment.CpuUsage.TotalTime, GC.GetTotalAllocatedBytes());
            await RefuseAsync(content, diskFormat, reason);
            (cpu, allocated) = (Environment.CpuUsage.TotalTime - cpu, GC.GetTotalAllocatedBytes() - allocated);
            if (cpu < CpuMax && allocated < AllocatedMax)
            {
                return;
            }

            Assert.True(attempt < AttemptsMax, $"{cpu.TotalSeconds:F1} s of CPU, {allocated} bytes allocated");
        }
    }

    private async Task RefuseAsync(byte[] content, string diskFormat, string? reason)
    {
        var id = await app.CreateAsync(diskFormat);
        using var refused = await app.PutAsync(id, content);
        Assert.Equal(415, (int)refused.StatusCode);
        var code = Assert.Single(refused.Headers.GetValues("X-Registry-Reason"));
        Assert.Equal(reason ?? code, code);

        var image = await Service.GetAsync(new GetImageRequest { Id = id }, cancellationToken: RegistryApp.Stop);
        Assert.Equal(("queued", code), (image.Status, image.LastFailure.Code));
        Assert.DoesNotContain(
            HostileImage.NamedThings, thing => image.LastFailure.Message.Contains(thing, StringComparison.Ordinal));
        Assert.DoesNotContain(await app.StoredFilesAsync(), file => file.Contains(id, StringComparison.Ordinal));
    }

    private async Task RefuseDeclarationAsync(string diskFormat)
    {
        using var response = await app.SendAsync(
            HttpMethod.Post, "/v2/images", $$"""{"disk_format":"{{diskFormat}}","container_format":"bare"}""");
        Assert.Equal(400, (int)response.StatusCode);
    }

    private async Task KeepAsRawAsync(byte[] content)
    {
        var id = await app.UploadAsync(content);
        Assert.Equal("active", (await app.ShowAsync(id)).GetProperty("status").GetString());
        var kept = await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);
        Assert.True(content.AsSpan().SequenceEqual(kept));
    }
}
