using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Npgsql;
using Registry.Support;

namespace Registry.Bench;

/// <summary>Lists of 25 images, by every filter and sort, out of a small and of a large registry in one PostgreSQL, in
/// turn; and whether any of them made the large one read a table from end to end.</summary>
/// <remarks>PostgreSQL itself counts sequential scans, so what is told is what happened and not what a plan
/// promised.</remarks>
internal static class ListBench
{
    private const int SmallImages = 1000;
    private const int Warm = 20;
    private static readonly TimeSpan StatisticsDelay = TimeSpan.FromSeconds(1.5);

    /// <summary>Runs and prints.</summary>
    /// <returns>0 when every list of the large registry is within twice the small one's time and nothing was
    /// scanned.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var images = int.Parse(
            ConvertBench.Option(arguments, "--images") ?? "1000000", CultureInfo.InvariantCulture);
        var requests = int.Parse(ConvertBench.Option(arguments, "--requests") ?? "200", CultureInfo.InvariantCulture);
        var wanted = ConvertBench.Option(arguments, "--query") ?? "";
        await using var server = await PostgresServer.StartAsync();
        await using var small = await FilledRegistry.StartAsync(server, "small", SmallImages);
        await using var large = await FilledRegistry.StartAsync(server, "large", images);

        Console.WriteLine($"p50 and p99 of {requests} lists in ms, {SmallImages} and {images} images");
        var bad = 0;
        foreach (var (caller, query) in Lists().Where(list => list.Query.Contains(wanted, StringComparison.Ordinal)))
        {
            var before = await large.SequentialScansAsync(StatisticsDelay);
            var few = new double[requests];
            var many = new double[requests];
            var (fewOnPage, manyOnPage) = (0, 0);
            for (var i = -Warm; i < requests; i++)
            {
                (var one, fewOnPage) = await small.ListAsync(caller, query);
                (var other, manyOnPage) = await large.ListAsync(caller, query);
                if (i >= 0)
                {
                    (few[i], many[i]) = (one, other);
                }
            }

            var scans = await large.SequentialScansAsync(StatisticsDelay) - before;
            var ratio = At(many, 0.99) / At(few, 0.99);
            var isBad = ratio > 2 || scans > 0;
            bad += isBad ? 1 : 0;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{(isBad ? "! " : "  ")}{caller,-6} {query,-78} {At(few, 0.5),6:F1} {At(few, 0.99),6:F1}   " +
                $"{At(many, 0.5),6:F1} {At(many, 0.99),6:F1}   {ratio,5:F2} x   {scans} scans   " +
                $"{fewOnPage}, {manyOnPage} images"));
        }

        Console.WriteLine($"{bad} lists are slower than twice or read a whole table");
        return bad == 0 ? 0 : 1;
    }

    private static double At(double[] times, double part) => times.Order().ElementAt((int)(part * (times.Length - 1)));

    private static IEnumerable<(string Caller, string Query)> Lists()
    {
        foreach (var caller in new[] { "admin", "member" })
        {
            foreach (var key in new[]
            {
                "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at",
            })
            {
                yield return (caller, $"sort={key}:asc");
                yield return (caller, $"sort={key}:desc");
            }

            yield return (caller, "sort=name:asc,size:desc");
            foreach (var filter in new[]
            {
                "name=image-77", "status=queued", "status=active&sort=size:desc", "disk_format=iso",
                "container_format=ova", "size_min=900000&size_max=910000", "size_min=999000", "min_ram=512",
                "min_disk=7", "tag=tag-3", "tag=few-5", "tag=tag-3&tag=few-5", "os_distro=debian-7",
                "serial=serial-77", "checksum=00000000000000000000000000000077", "os_hash_value=hash-77",
                "protected=true", "os_hidden=true", "visibility=public", "visibility=private",
                "visibility=community", "visibility=shared", "owner=project-7", "created_at=gt:2026-01-10T00:00:00Z",
                "updated_at=lt:2025-01-02T00:00:00Z", "id=in:0000004d-0000-4000-8000-000000000000",
                "name=in:image-77,image-78", "member_status=pending&visibility=shared", "virtual_size=1077",
            })
            {
                yield return (caller, filter);
            }
        }
    }

    /// <summary>A registry over a database that was filled without it.</summary>
    private sealed class FilledRegistry : IAsyncDisposable
    {
        private readonly string _connection;
        private readonly TempDirectory _directory;
        private readonly RegistryProcess _process;

        private FilledRegistry(string connection, TempDirectory directory, RegistryProcess process) =>
            (_connection, _directory, _process) = (connection, directory, process);

        public static async Task<FilledRegistry> StartAsync(PostgresServer server, string name, int images)
        {
            await server.CreateDatabaseAsync(name);
            var connection = server.ConnectionString(name);
            var settings = new Dictionary<string, string>
            {
                ["Registry__Database__Kind"] = "postgres",
                ["Registry__Database__ConnectionString"] = connection,
                ["Registry__Auth__Kind"] = "proxy",
                ["Registry__Jobs__Workers"] = "0",
            };
            await RegistryProcess.RunDbAsync("upgrade", settings, CancellationToken.None);
            var began = Stopwatch.StartNew();
            await using (var database = new NpgsqlConnection(connection))
            {
                await database.OpenAsync();
                foreach (var statement in ImageRows.Statements(images))
                {
                    await using var command = new NpgsqlCommand(statement, database) { CommandTimeout = 0 };
                    await command.ExecuteNonQueryAsync();
                }
            }

            Console.WriteLine($"{name}: {images} images in {began.Elapsed.TotalSeconds:F0} s");
            var directory = new TempDirectory();
            return new FilledRegistry(
                connection, directory,
                await RegistryProcess.StartAsync(directory.Path, CancellationToken.None, settings));
        }

        /// <summary>Milliseconds that one list took, and how many images it held.</summary>
        public async Task<(double Took, int Images)> ListAsync(string caller, string query)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images?limit=25&{query}");
            request.Headers.Add("X-Identity-Status", "Confirmed");
            request.Headers.Add("X-User-Id", caller);
            request.Headers.Add("X-Project-Id", caller == "admin" ? "operators" : "project-7");
            request.Headers.Add("X-Roles", caller == "admin" ? "admin,member,reader" : "member,reader");
            var began = Stopwatch.GetTimestamp();
            using var response = await _process.Client.SendAsync(request);
            var body = await response.Content.ReadAsByteArrayAsync();
            var took = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            response.EnsureSuccessStatusCode();
            using var page = JsonDocument.Parse(body);
            return (took, page.RootElement.GetProperty("images").GetArrayLength());
        }

        /// <summary>Sequential scans of the tables of images so far.</summary>
        public async Task<long> SequentialScansAsync(TimeSpan delay)
        {
            await Task.Delay(delay); // a session reports what it did only once in a while
            await using var database = new NpgsqlConnection(_connection);
            await database.OpenAsync();
            await using var command = new NpgsqlCommand(
                "select sum(seq_scan)::bigint from pg_stat_user_tables where relname like 'image%'", database);
            return (long)(await command.ExecuteScalarAsync())!;
        }

        public async ValueTask DisposeAsync()
        {
            await _process.DisposeAsync();
            _directory.Dispose();
        }
    }
}
