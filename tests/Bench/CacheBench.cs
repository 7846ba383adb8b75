using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Many downloads at once of one image in a real S3 server: through an empty cache, through a full one, and,
/// when asked for, without. What passes between the registry and the S3 server is counted on the wire.</summary>
internal static class CacheBench
{
    private const int BufferBytes = 256 << 10;

    /// <summary>Runs and prints.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var readers = Number(arguments, "--readers", 1000);
        var size = (long)Number(arguments, "--mib", 64) << 20;
        var without = Number(arguments, "--without", 0);
        await using var s3 = await CephS3.StartAsync(4L << 30);
        await using var gate = new TcpGate(s3.Endpoint);
        using var directory = new TempDirectory();
        var settings = new Dictionary<string, string>
        {
            ["Registry__Stores__0__Id"] = "s3",
            ["Registry__Stores__0__Kind"] = "s3",
            ["Registry__Stores__0__Endpoint"] = gate.Address.ToString(),
            ["Registry__Stores__0__Bucket"] = s3.NewBucket(),
            ["Registry__Stores__0__AccessKey"] = CephS3.AccessKey,
            ["Registry__Stores__0__SecretKey"] = CephS3.SecretKey,
            ["Registry__Stores__0__CreateBucket"] = "true",
            ["Registry__Cache__Directory"] = directory.File("cache"),
        };
        var id = "";
        await using (var registry = await StartAsync(directory, settings))
        {
            id = await UploadAsync(registry.Client, size);
        }

        // Of a process that has done nothing else, the peak is that of the downloads.
        await MeasureAsync("empty cache", readers, size, id, gate, directory, settings);
        await MeasureAsync("full cache", readers, size, id, gate, directory, settings);
        if (without > 0)
        {
            settings.Remove("Registry__Cache__Directory");
            await MeasureAsync("no cache", without, size, id, gate, directory, settings);
        }

        return 0;
    }

    private static async Task MeasureAsync(
        string what, int readers, long size, string id, TcpGate gate, TempDirectory directory,
        Dictionary<string, string> settings)
    {
        await using var registry = await StartAsync(directory, settings);
        var server = Process.GetProcessById(registry.Id);
        var atRest = registry.Status("VmRSS") >> 10;
        var (requests, bytes, cpu) = (gate.Requests, gate.BytesReceived, server.TotalProcessorTime);
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, readers).Select(_ => Task.Run(() => DownloadAsync(registry, id, size))));
        var wall = watch.Elapsed.TotalSeconds;
        server.Refresh();
        var spent = (server.TotalProcessorTime - cpu).TotalSeconds;
        var total = readers * size;
        (requests, bytes) = (gate.Requests - requests, gate.BytesReceived - bytes);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{what,-12} {readers} x {size >> 20} MiB in {wall:F1} s, {total / wall / (1 << 20):F0} MiB/s; from the store " +
            $"{bytes} bytes, {(double)bytes / size:F3} of one image, in {requests} requests; peak " +
            $"{registry.Status("VmHWM") >> 10} MiB ({atRest} at rest), {spent / total * (1 << 30):F2} cpu-s/GiB"));
    }

    private static Task<RegistryProcess> StartAsync(TempDirectory directory, Dictionary<string, string> settings) =>
        RegistryProcess.StartAsync(Directory.CreateDirectory(directory.File("data")).FullName, default, settings);

    private static async Task<string> UploadAsync(HttpClient http, long size)
    {
        using var created = await http.PostAsync(
            "/v2/images", JsonContent.Create(new { disk_format = "raw", container_format = "bare" }));
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        var content = new byte[size];
        new Random(1).NextBytes(content);
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var uploaded = await http.PutAsync($"/v2/images/{id}/file", body);
        uploaded.EnsureSuccessStatusCode();
        return id;
    }

    private static async Task DownloadAsync(RegistryProcess registry, string id, long size)
    {
        using var response = await registry.Client.GetAsync(
            $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        await using var body = await response.Content.ReadAsStreamAsync();
        var buffer = new byte[BufferBytes];
        var at = 0L;
        for (int read; (read = await body.ReadAsync(buffer)) > 0;)
        {
            at += read;
        }

        if (at != size)
        {
            throw new InvalidDataException($"{at} bytes of {size} came.");
        }
    }

    private static int Number(string[] arguments, string name, int otherwise) =>
        ConvertBench.Option(arguments, name) is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
