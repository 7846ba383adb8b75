using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Minio;
using Minio.DataModel.Args;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.S3;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Uploads of unknown length to a real S3 server: through the whole registry and, when asked for, through the
/// store's writer alone with segments of several sizes; and the same bytes as plain parallel PUTs.</summary>
internal static class S3Bench
{
    private const int PlainBytes = 64 << 20;
    private const int PlainParallel = 4;
    private const int ChunkBytes = 1 << 20;
    private static readonly byte[] Pattern = MakePattern();

    /// <summary>Runs and prints.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var gibibytes = double.Parse(
            ConvertBench.Option(arguments, "--gib") ?? "2", CultureInfo.InvariantCulture);
        var size = (long)(gibibytes * (1 << 30));
        var rounds = int.Parse(ConvertBench.Option(arguments, "--rounds") ?? "2", CultureInfo.InvariantCulture);
        var writers = arguments.Contains("--writers")
            ? [(16, 5), (24, 3), (32, 3), (64, 2)]
            : Array.Empty<(int Segment, int Held)>();
        int[] counts = ConvertBench.Option(arguments, "--at-once") is { } count
            ? [int.Parse(count, CultureInfo.InvariantCulture)]
            : [1, 4];
        await using var server = await CephS3.StartAsync(16L << 30);
        foreach (var atOnce in counts)
        {
            for (var round = 0; round < rounds; round++)
            {
                var plain = await MeasureAsync(server, atOnce, size, (bucket, _) => PlainAsync(server, bucket, size));
                Print($"{atOnce} x plain PUT, {PlainParallel} of {PlainBytes >> 20} MiB", plain, plain);
                foreach (var (segment, held) in writers)
                {
                    var writer = await MeasureAsync(
                        server, atOnce, size, (bucket, n) => WriterAsync(server, bucket, n, size, segment << 20, held));
                    Print($"{atOnce} x writer, {held} of {segment} MiB", writer, plain);
                }

                await RegistryAsync(server, atOnce, size, plain);
            }
        }

        return 0;
    }

    private static void Print(string what, double rate, double plain, string more = "") =>
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{what,-34} {rate,6:F0} MiB/s  {rate / plain:F2} of plain{more}"));

    private static async Task<double> MeasureAsync(
        CephS3 server, int atOnce, long size, Func<string, int, Task> upload)
    {
        var bucket = server.NewBucket();
        using var client = Client(server);
        await client.MakeBucketAsync(new MakeBucketArgs().WithBucket(bucket).WithLocation(CephS3.Region));
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, atOnce).Select(n => Task.Run(() => upload(bucket, n))));
        var rate = Rate(atOnce * size, watch);
        await EmptyAsync(client, bucket);
        return rate;
    }

    private static async Task PlainAsync(CephS3 server, string bucket, long size)
    {
        using var client = Client(server);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        var id = Guid.NewGuid();
        var parts = (int)((size + PlainBytes - 1) / PlainBytes);
        var content = new byte[PlainBytes];
        Fill(content);
        await Parallel.ForAsync(
            0,
            parts,
            new ParallelOptions { MaxDegreeOfParallelism = PlainParallel },
            async (part, stop) =>
            {
                var address = await client.PresignedPutObjectAsync(
                    new PresignedPutObjectArgs().WithBucket(bucket).WithObject($"{id}/{part}").WithExpiry(600));
                var length = (int)Math.Min(PlainBytes, size - ((long)part * PlainBytes));
                using var body = new ByteArrayContent(content, 0, length);
                using var response = await http.PutAsync(address, body, stop);
                response.EnsureSuccessStatusCode();
            });
    }

    private static async Task WriterAsync(
        CephS3 server, string bucket, int number, long size, int segmentBytes, int held)
    {
        using var store = new S3BlobStore(
            "bench",
            new S3Options
            {
                Endpoint = server.Endpoint,
                Region = CephS3.Region,
                Bucket = bucket,
                AccessKey = CephS3.AccessKey,
                SecretKey = CephS3.SecretKey,
                SegmentBytes = segmentBytes,
                SegmentsHeld = held,
            },
            TimeProvider.System,
            NullLogger<S3BlobStore>.Instance);
        var key = new BlobKey(Guid.NewGuid().ToString(), number + 1);
        await using var writer = await store.BeginAsync(key, null, default);
        for (var at = 0L; at < size; at += ChunkBytes)
        {
            await writer.AppendAsync(
                BlobPart.Data, Pattern.AsMemory(0, (int)Math.Min(ChunkBytes, size - at)), default);
        }

        await writer.CommitAsync(default);
    }

    private static async Task RegistryAsync(CephS3 server, int atOnce, long size, double plain)
    {
        using var directory = new TempDirectory();
        var bucket = server.NewBucket();
        var settings = new Dictionary<string, string>
        {
            ["Registry__Stores__0__Id"] = "bench",
            ["Registry__Stores__0__Kind"] = "s3",
            ["Registry__Stores__0__Endpoint"] = server.Endpoint.ToString(),
            ["Registry__Stores__0__Bucket"] = bucket,
            ["Registry__Stores__0__AccessKey"] = CephS3.AccessKey,
            ["Registry__Stores__0__SecretKey"] = CephS3.SecretKey,
            ["Registry__Stores__0__CreateBucket"] = "true",
        };
        await using var registry = await RegistryProcess.StartAsync(directory.Path, default, settings);
        await UploadAsync(registry.Client, 1 << 20); // everything is compiled once
        var before = MemoryOf(registry.Id, "VmRSS:");
        var cpu = Process.GetProcessById(registry.Id).TotalProcessorTime;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, atOnce).Select(_ => Task.Run(() => UploadAsync(registry.Client, size))));
        var rate = Rate(atOnce * size, watch);
        var spent = (Process.GetProcessById(registry.Id).TotalProcessorTime - cpu).TotalSeconds;
        var peak = MemoryOf(registry.Id, "VmHWM:");
        Print($"{atOnce} x registry, hashing", rate, plain, string.Create(
            CultureInfo.InvariantCulture,
            $", peak {peak >> 20} MiB ({(peak - before) / atOnce >> 20} an upload over {before >> 20} at rest), " +
            $"{spent / (atOnce * size) * (1 << 30):F1} cpu-s/GiB"));
        using var client = Client(server);
        await EmptyAsync(client, bucket);
    }

    private static async Task UploadAsync(HttpClient http, long size)
    {
        using var created = await http.PostAsync(
            "/v2/images", JsonContent.Create(new { disk_format = "raw", container_format = "bare" }));
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString();
        using var body = new Unmeasured(size);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/v2/images/{id}/file") { Content = body };
        request.Headers.TransferEncodingChunked = true;
        using var response = await http.SendAsync(request);
        response.EnsureSuccessStatusCode();
    }

    private static async Task EmptyAsync(IMinioClient client, string bucket)
    {
        var names = await client.ListObjectsEnumAsync(new ListObjectsArgs().WithBucket(bucket).WithRecursive(true))
            .Select(item => item.Key).ToListAsync();
        await client.RemoveObjectsAsync(new RemoveObjectsArgs().WithBucket(bucket).WithObjects(names));
        await Task.Delay(TimeSpan.FromSeconds(5)); // the server frees what was deleted, and rests
    }

    private static IMinioClient Client(CephS3 server) => new MinioClient()
        .WithEndpoint(server.Endpoint.Authority).WithRegion(CephS3.Region)
        .WithCredentials(CephS3.AccessKey, CephS3.SecretKey).Build();

    private static double Rate(long bytes, Stopwatch watch) => bytes / watch.Elapsed.TotalSeconds / (1 << 20);

    private static long MemoryOf(int processId, string field)
    {
        var line = File.ReadLines($"/proc/{processId}/status").First(l => l.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }

    private static void Fill(Span<byte> bytes)
    {
        for (var at = 0; at < bytes.Length; at += ChunkBytes)
        {
            Pattern.AsSpan(0, Math.Min(ChunkBytes, bytes.Length - at)).CopyTo(bytes[at..]);
        }
    }

    private static byte[] MakePattern()
    {
        var bytes = new byte[ChunkBytes];
        new Random(1).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A body that does not say how long it is.</summary>
    private sealed class Unmeasured(long size) : HttpContent
    {
        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }

        protected override async Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context)
        {
            for (var sent = 0L; sent < size; sent += ChunkBytes)
            {
                await stream.WriteAsync(Pattern.AsMemory(0, (int)Math.Min(ChunkBytes, size - sent)));
            }
        }
    }
}
