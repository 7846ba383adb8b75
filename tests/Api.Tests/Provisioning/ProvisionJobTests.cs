using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Disks that the server makes, with qemu-img as the judge.</summary>
public sealed class ProvisionJobTests : IAsyncLifetime
{
    private const int DiskBytes = 5 << 20;
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public ProvisionJobTests()
    {
        Directory.CreateDirectory(Target);
        _app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Provisioning:Targets:0:Id"] = "volumes",
                ["Registry:Provisioning:Targets:0:Path"] = Target,
                ["Registry:Jobs:Poll"] = "00:00:00.05",
            },
        };
    }

    private string Target => _directory.File("volumes");

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task A_disk_in_a_target_is_the_images_and_has_its_name_only_when_it_is_whole(string format)
    {
        var (id, image) = await AddAsync();
        var job = await RunAsync(new { image_id = id, target = "volumes", name = "vm-1", format, size = "8M" });
        Assert.Equal("succeeded", job.GetProperty("status").GetString());
        Assert.Equal(8 << 20, job.GetProperty("result").GetProperty("size").GetInt64());
        var made = Assert.Single(Directory.GetFiles(Target));
        Assert.Equal("vm-1", Path.GetFileName(made));
        await _qemuImg.OutputAsync(RegistryApp.Stop, "compare", "-f", "qcow2", "-F", format, image, made);
        if (format == "qcow2")
        {
            await _qemuImg.OutputAsync(RegistryApp.Stop, "check", "-f", "qcow2", made);
        }

        // What is there is not replaced.
        var again = await RunAsync(new { image_id = id, target = "volumes", name = "vm-1", format });
        Assert.Equal("failed", again.GetProperty("status").GetString());
        Assert.Equal("target_exists", again.GetProperty("reason").GetString());
        Assert.Equal([made], Directory.GetFiles(Target));
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task A_new_image_holds_the_disk_in_the_format_and_size_asked_for(string format)
    {
        var (id, image) = await AddAsync();
        var job = await RunAsync(new { image_id = id, name = "grown", format, size = 8 << 20 });
        Assert.Equal("succeeded", job.GetProperty("status").GetString());
        var made = job.GetProperty("result").GetProperty("image_id").GetString()!;
        var shown = await _app.Http.GetFromJsonAsync<JsonElement>($"/v2/images/{made}", RegistryApp.Stop);
        Assert.Equal(
            ("grown", "active", format, "private", 8 << 20),
            (
                shown.GetProperty("name").GetString(), shown.GetProperty("status").GetString(),
                shown.GetProperty("disk_format").GetString(), shown.GetProperty("visibility").GetString(),
                shown.GetProperty("virtual_size").GetInt32()));
        var file = _directory.File("made");
        await File.WriteAllBytesAsync(
            file, await _app.Http.GetByteArrayAsync($"/v2/images/{made}/file", RegistryApp.Stop), RegistryApp.Stop);
        await _qemuImg.OutputAsync(RegistryApp.Stop, "compare", "-f", "qcow2", "-F", format, image, file);
    }

    [Theory]
    [InlineData("""{"name":"x"}""", "image_id")]
    [InlineData("""{"image_id":"ID"}""", "name")]
    [InlineData("""{"image_id":"ID","name":"x","format":"vmdk"}""", "vmdk")]
    [InlineData("""{"image_id":"ID","name":"x","size":512}""", "smaller")]
    [InlineData("""{"image_id":"ID","name":"x","size":"12Q"}""", "12Q")]
    [InlineData("""{"image_id":"ID","name":"x","target":"elsewhere"}""", "elsewhere")]
    [InlineData("""{"image_id":"ID","name":"../x","target":"volumes"}""", "name")]
    [InlineData("""{"image_id":"ID","name":".x","target":"volumes"}""", "name")]
    [InlineData("""{"image_id":"ID","name":"x","target":"volumes","store":"default"}""", "both")]
    [InlineData("""{"image_id":"ID","name":"x","path":"/etc"}""", "path")]
    [InlineData("[]", "object")]
    public async Task What_makes_no_sense_is_refused_with_a_reason_and_leaves_nothing(string body, string word)
    {
        var (id, _) = await AddAsync();
        using var content = new StringContent(
            body.Replace("ID", id, StringComparison.Ordinal), Encoding.UTF8, "application/json");
        using var response = await _app.Http.PostAsync("/registry/v1/provisions", content, RegistryApp.Stop);
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains(word, await response.Content.ReadAsStringAsync(RegistryApp.Stop), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(Target));
        var listed = await _app.Http.GetFromJsonAsync<JsonElement>("/v2/images", RegistryApp.Stop);
        Assert.Equal(1, listed.GetProperty("images").GetArrayLength());
    }

    [Fact]
    public async Task A_disk_that_cannot_be_made_leaves_neither_file_nor_image()
    {
        var (id, _) = await AddAsync();
        foreach (var file in (await _app.StoredFilesAsync()).Where(f => Path.GetFileName(f).StartsWith("data", StringComparison.Ordinal)))
        {
            var bytes = await File.ReadAllBytesAsync(file, RegistryApp.Stop);
            bytes[^1000] ^= 1;
            await File.WriteAllBytesAsync(file, bytes, RegistryApp.Stop);
        }

        foreach (var order in new object[]
        {
            new { image_id = id, target = "volumes", name = "vm-1" }, new { image_id = id, name = "copy" },
        })
        {
            var job = await RunAsync(order);
            Assert.Equal("failed", job.GetProperty("status").GetString());
            Assert.Contains("damaged", job.GetProperty("message").GetString(), StringComparison.Ordinal);
        }

        Assert.Empty(Directory.GetFileSystemEntries(Target));
        var listed = await _app.Http.GetFromJsonAsync<JsonElement>("/v2/images", RegistryApp.Stop);
        Assert.Equal(1, listed.GetProperty("images").GetArrayLength());
    }

    private async Task<(string Id, string Image)> AddAsync()
    {
        var content = new byte[DiskBytes];
        new Random(5).NextBytes(content.AsSpan(1 << 20, 2 << 20));
        var (raw, image) = (_directory.File("raw"), _directory.File("image"));
        await File.WriteAllBytesAsync(raw, content, RegistryApp.Stop);
        await _qemuImg.OutputAsync(RegistryApp.Stop, "convert", "-f", "raw", "-O", "qcow2", raw, image);
        return (await _app.UploadAsync(await File.ReadAllBytesAsync(image, RegistryApp.Stop), "qcow2"), image);
    }

    private async Task<JsonElement> RunAsync(object order)
    {
        using var asked = await _app.Http.PostAsJsonAsync("/registry/v1/provisions", order, RegistryApp.Stop);
        Assert.Equal(202, (int)asked.StatusCode);
        var id = (await asked.Content.ReadFromJsonAsync<JsonElement>(RegistryApp.Stop)).GetProperty("id").GetString();
        while (true)
        {
            var job = await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{id}", RegistryApp.Stop);
            if (job.GetProperty("ended_at").ValueKind != JsonValueKind.Null)
            {
                return job;
            }

            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
