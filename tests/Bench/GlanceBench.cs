using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Npgsql;
using Registry.Support;

namespace Registry.Bench;

/// <summary>The registry beside the real Glance, on one machine, with one Keystone and one PostgreSQL server, in turn.
/// </summary>
/// <remarks>Glance runs two workers. Both keep bytes in a directory, and both are asked by the same client, over
/// connections that stay open.</remarks>
internal static class GlanceBench
{
    private const string User = "demo1-member";
    private const int FewImages = 1000;
    private static readonly TimeSpan Warmth = TimeSpan.FromSeconds(1);

    /// <summary>Runs and prints.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var seconds = Number(arguments, "--seconds", 10);
        var rounds = Number(arguments, "--rounds", 3);
        var many = Number(arguments, "--images", 20_000);
        var bytes = (long)Number(arguments, "--mib", 1024) << 20;
        await using var postgres = await PostgresServer.StartAsync();
        await using var keystone = await KeystoneServer.StartAsync(postgres, CancellationToken.None);
        await using var glance = await BenchedService.GlanceAsync(postgres, keystone);
        await using var registry = await BenchedService.RegistryAsync(postgres, keystone);
        await keystone.AddRegionAsync("bench", glance.Client.BaseAddress!, CancellationToken.None);
        BenchedService[] services = [glance, registry];
        var token = await keystone.TokenAsync(User, CancellationToken.None);
        var project = keystone.ProjectIds["demo1"];
        foreach (var service in services)
        {
            service.Client.DefaultRequestHeaders.Add("X-Auth-Token", token);
        }

        Console.WriteLine($"{"",-36} {"Glance",10} {"registry",10}   ratio");
        async Task Compare(string name, string unit, Func<BenchedService, Task<double>> measure)
        {
            var values = new double[services.Length][];
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = new double[rounds];
            }

            for (var round = 0; round < rounds; round++)
            {
                for (var i = 0; i < services.Length; i++)
                {
                    values[i][round] = await measure(services[i]);
                }
            }

            Print(name, unit, Median(values[0]), Median(values[1]));
        }

        foreach (var atOnce in new[] { 16, 8 })
        {
            var shown = new Dictionary<BenchedService, string>();
            foreach (var service in services)
            {
                shown[service] = await CreateAsync(service.Client);
            }

            await Compare(
                $"show at {atOnce}", "requests/s",
                service => RateAsync(atOnce, seconds, () => GetAsync(service.Client, $"/v2/images/{shown[service]}")));
        }

        var first = 1;
        foreach (var images in new[] { FewImages, many })
        {
            await glance.FillAsync(GlanceRows.Statements(first, images, project));
            await registry.FillAsync(ImageRows.Statements(first, images, project));
            first = images + 1;
            await Compare(
                $"list of 25 out of {images} at 8", "requests/s",
                service => RateAsync(8, seconds, () => GetAsync(service.Client, "/v2/images?limit=25")));
        }

        await Compare(
            "create at 8", "requests/s", service => RateAsync(8, seconds, () => CreateAsync(service.Client)));

        var last = new Dictionary<BenchedService, string>();
        await Compare($"upload of {bytes >> 20} MiB raw", "MB/s", async service =>
        {
            if (last.TryGetValue(service, out var before))
            {
                using var deleted = await service.Client.DeleteAsync(new Uri($"/v2/images/{before}", UriKind.Relative));
                deleted.EnsureSuccessStatusCode();
            }

            last[service] = await CreateAsync(service.Client);
            return await UploadAsync(service.Client, last[service], bytes);
        });
        await Compare(
            $"download of {bytes >> 20} MiB raw", "MB/s",
            service => DownloadAsync(service.Client, last[service], bytes));
        Print("resident memory at the end", "MiB", glance.ResidentMiB(), registry.ResidentMiB());
        return 0;
    }

    private static int Number(string[] arguments, string name, int usual) =>
        int.Parse(ConvertBench.Option(arguments, name) ?? $"{usual}", CultureInfo.InvariantCulture);

    private static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

    private static void Print(string name, string unit, double theirs, double ours) => Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture, $"{name,-36} {theirs,10:F0} {ours,10:F0}   {ours / theirs,5:F2} x   {unit}"));

    // Requests a second, by so many callers at once.
    private static async Task<double> RateAsync(int atOnce, int seconds, Func<Task> request)
    {
        await CountAsync(atOnce, Warmth, request);
        var began = Stopwatch.GetTimestamp();
        var count = await CountAsync(atOnce, TimeSpan.FromSeconds(seconds), request);
        return count / Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    private static async Task<long> CountAsync(int atOnce, TimeSpan time, Func<Task> request)
    {
        var began = Stopwatch.GetTimestamp();
        var counts = await Task.WhenAll(Enumerable.Range(0, atOnce).Select(_ => Task.Run(async () =>
        {
            var count = 0L;
            for (; Stopwatch.GetElapsedTime(began) < time; count++)
            {
                await request();
            }

            return count;
        })));
        return counts.Sum();
    }

    private static async Task GetAsync(HttpClient client, string path)
    {
        using var response = await client.GetAsync(new Uri(path, UriKind.Relative));
        await response.Content.ReadAsByteArrayAsync();
        response.EnsureSuccessStatusCode();
    }

    private static async Task<string> CreateAsync(HttpClient client)
    {
        using var content = new StringContent(
            """{"name":"bench","disk_format":"raw","container_format":"bare","os_distro":"debian"}""",
            Encoding.UTF8, "application/json"); // of known length: Glance reads no JSON in chunks
        using var response = await client.PostAsync(new Uri("/v2/images", UriKind.Relative), content);
        if (!response.IsSuccessStatusCode)
        {
            var reason = await response.Content.ReadAsStringAsync();
            throw new InvalidOperationException($"{client.BaseAddress} answers {response.StatusCode}: {reason}");
        }

        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
    }

    private static async Task<double> UploadAsync(HttpClient client, string id, long bytes)
    {
        using var content = new PatternContent(bytes);
        var began = Stopwatch.GetTimestamp();
        using var response = await client.PutAsync(new Uri($"/v2/images/{id}/file", UriKind.Relative), content);
        response.EnsureSuccessStatusCode();
        return bytes / 1e6 / Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    private static async Task<double> DownloadAsync(HttpClient client, string id, long bytes)
    {
        var buffer = new byte[1 << 20];
        var began = Stopwatch.GetTimestamp();
        using var response = await client.GetAsync(
            new Uri($"/v2/images/{id}/file", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        await using var stream = await response.Content.ReadAsStreamAsync();
        var total = 0L;
        for (int read; (read = await stream.ReadAsync(buffer)) > 0;)
        {
            total += read;
        }

        return total == bytes
            ? bytes / 1e6 / Stopwatch.GetElapsedTime(began).TotalSeconds
            : throw new InvalidOperationException($"{total} bytes of {bytes} came.");
    }

    /// <summary>So many bytes that are no zeros and do not compress.</summary>
    private sealed class PatternContent : HttpContent
    {
        private static readonly byte[] Pattern = MakePattern();
        private readonly long _bytes;

        public PatternContent(long bytes)
        {
            _bytes = bytes;
            Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context)
        {
            for (var left = _bytes; left > 0; left -= Pattern.Length)
            {
                await stream.WriteAsync(Pattern.AsMemory(0, (int)Math.Min(left, Pattern.Length)));
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _bytes;
            return true;
        }

        private static byte[] MakePattern()
        {
            var pattern = new byte[1 << 20];
            new Random(1).NextBytes(pattern);
            return pattern;
        }
    }
}
