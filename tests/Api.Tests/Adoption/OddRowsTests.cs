using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>Rows that no honest Glance would have: what they name is not read, and they stop nothing else.</summary>
public sealed class OddRowsTests(GlanceLab glance, SharedS3 s3)
{
    private static readonly byte[] Content = GlanceContent.Bytes(9, 100_000);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Each_is_left_out_with_its_reason_and_the_good_ones_are_taken()
    {
        await using var lab = await LabAsync();
        await lab.AddAsync(1, lab.File("good"));
        await lab.AddAsync(2, "file:///etc/passwd");
        await lab.AddAsync(3, $"file://{lab.Store}/../secret");
        await lab.AddAsync(4, lab.File("link"));
        await lab.AddAsync(5, lab.File("damaged"));
        await lab.AddAsync(6, lab.File("short"));
        await lab.AddAsync(7, lab.File("missing"));
        await lab.AddAsync(8, "rbd://fsid/pool/image/snap");
        await lab.AddAsync(9, null);
        await lab.AddAsync(10, lab.File("good"), "disk_format = 'qcow3'");
        await lab.AddAsync(11, lab.File("good"), "status = 'saving'");
        await lab.AddAsync(12, lab.File("good"), "deleted = true, status = 'deleted'");
        await lab.AddAsync(13, lab.File("good"), "status = 'pending_delete'");
        await lab.AddAsync(14, lab.File("qcow2"), $"size = 512, checksum = '{Md5(lab.Qcow)}', os_hash_value = null");
        await lab.AddAsync(15, lab.File("good"), $"os_hash_algo = 'sha256', os_hash_value = '{Sha256(Content)}'");
        await lab.AddAsync(16, lab.File("good"), $"os_hash_algo = 'sha256', os_hash_value = '{Sha256([1])}'");
        await lab.AddAsync(17, lab.File("good"), "os_hash_algo = 'blake2b'");
        await lab.AddAsync(18, lab.File("good"), "disk_format = null");
        await lab.AddAsync(19, lab.File("missing"));
        await lab.AddLocationAsync(19, lab.File("good"));
        await lab.AddAsync(20, lab.File("good"), "id = 'not-a-uuid'", hasParts: false);
        await lab.AddAsync(21, lab.File("good"), "checksum = null, os_hash_algo = null, os_hash_value = null, size = null");
        await lab.AddAsync(22, "s3://AKIA:secret@169.254.169.254/latest/meta-data");

        var expected = new Dictionary<string, string>
        {
            [Id(2)] = "outside_of_store", [Id(3)] = "outside_of_store", [Id(4)] = "outside_of_store",
            [Id(5)] = "checksum_mismatch", [Id(6)] = "size_mismatch", [Id(7)] = "no_file", [Id(8)] = "store_kind",
            [Id(9)] = "no_location", [Id(10)] = "bad_request", [Id(11)] = "unfinished",
            [Id(14)] = "backing_file_refused", [Id(16)] = "checksum_mismatch", [Id(17)] = "hash_unknown",
            [Id(18)] = "format_missing", ["not-a-uuid"] = "bad_request", [Id(22)] = "bucket_not_configured",
        };
        var rehearsal = await lab.Registry.LeftAsync(lab.Connection, [lab.Store], "--dry-run");
        Assert.Equal("outside_of_store", rehearsal[Id(2)]);
        Assert.False(rehearsal.ContainsKey(Id(5))); // it reads nothing
        Assert.Equal(expected, await lab.Registry.LeftAsync(lab.Connection, [lab.Store]));
        Assert.Equal([Id(1), Id(15), Id(19), Id(21)], lab.Blobs());

        // What is made good is taken by the next run, and nothing else is done.
        await System.IO.File.WriteAllBytesAsync(Path.Combine(lab.Store, "damaged"), Content, Stop);
        expected.Remove(Id(5));
        Assert.Equal(expected, await lab.Registry.LeftAsync(lab.Connection, [lab.Store], "--copy"));
        Assert.Equal([Id(1), Id(5), Id(15), Id(19), Id(21)], lab.Blobs());

        await using var served = await RegistryProcess.StartAsync(lab.Registry.Data, Stop);
        foreach (var id in lab.Blobs())
        {
            Assert.Equal(Content, await served.Client.GetByteArrayAsync($"/v2/images/{id}/file", Stop));
        }
    }

    [Fact]
    public async Task Files_that_are_elsewhere_here_are_found()
    {
        await using var lab = await LabAsync();
        await lab.AddAsync(1, "file:///srv/glance/good");
        Assert.Equal("outside_of_store", (await lab.Registry.LeftAsync(lab.Connection, [lab.Store]))[Id(1)]);
        Assert.Empty(await lab.Registry.LeftAsync(lab.Connection, [$"/srv/glance={lab.Store}"]));
        Assert.Equal([Id(1)], lab.Blobs());
    }

    [Fact]
    public async Task What_is_logged_does_not_get_into_the_output()
    {
        await using var lab = await LabAsync();
        await lab.AddAsync(1, lab.File("good"));
        lab.Registry.Settings["Registry:Stores:0:Id"] = "default";
        lab.Registry.Settings["Registry:Stores:0:Path"] = lab.Registry.Blobs;
        var nobody = new Uri($"http://127.0.0.1:{Ports.Free()}");
        foreach (var (name, value) in SharedS3.Settings(1, "away", nobody, "bucket"))
        {
            lab.Registry.Settings[name] = name.EndsWith(":Silence", StringComparison.Ordinal)
                || name.EndsWith(":Deadline", StringComparison.Ordinal) ? "00:00:01" : value;
        }

        var result = await lab.Registry.RunAsync(lab.Connection, [lab.Store], "--output=json");
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
        Assert.Equal(1, JsonNode.Parse(result.Output)!["images"]!["taken"]!.GetValue<int>());
        Assert.Contains("away", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_that_is_killed_leaves_nothing_that_the_next_does_not_make_good()
    {
        await using var lab = await LabAsync();
        const long Size = 512L << 20;
        await using (var large = System.IO.File.Create(Path.Combine(lab.Store, "large")))
        {
            large.SetLength(Size); // a hole: it takes time to read, and no room
        }

        await lab.AddAsync(1, lab.File("large"), FormattableString.Invariant(
            $"size = {Size}, checksum = null, os_hash_algo = null, os_hash_value = null"));
        await lab.AddAsync(2, lab.File("good"));
        using (var killed = lab.Start())
        {
            while (Directory.GetDirectories(Path.Combine(lab.Registry.Blobs, ".uploads")).Length == 0)
            {
                Assert.False(killed.HasExited);
                await Task.Delay(10, Stop);
            }

            killed.Kill();
            await killed.WaitForExitAsync(Stop);
        }

        Assert.Empty(lab.Blobs());
        Assert.Empty(await lab.Registry.LeftAsync(lab.Connection, [lab.Store]));
        Assert.Equal([Id(1), Id(2)], lab.Blobs());

        lab.Registry.Settings["Registry:Uploads:ReapGrace"] = "00:00:00";
        lab.Registry.Settings["Registry:Uploads:ReapInterval"] = "00:00:01";
        await using var served = await RegistryProcess.StartAsync(lab.Registry.Data, Stop, lab.Registry.Variables());
        while (Directory.GetDirectories(Path.Combine(lab.Registry.Blobs, ".uploads")).Length > 0)
        {
            await Task.Delay(50, Stop);
        }

        Assert.Equal([Id(1), Id(2)], lab.Blobs());
        Assert.True(System.IO.File.Exists(Path.Combine(lab.Store, "large")));
    }

    private async Task<OddLab> LabAsync()
    {
        await glance.StartAsync(s3);
        return await OddLab.StartAsync(glance);
    }

    private static string Id(int number) =>
        string.Create(CultureInfo.InvariantCulture, $"00000000-0000-4000-8000-{number:D12}");

    private static string Md5(byte[] bytes) => Convert.ToHexStringLower(MD5.HashData(bytes));

    private static string Sha256(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    /// <summary>A database of Glance's schema with rows of ours, a directory of files, and a registry.</summary>
    private sealed class OddLab : IAsyncDisposable
    {
        private readonly TempDirectory _directory = new();
        private readonly GlanceLab _glance;
        private readonly string _database;

        private OddLab(GlanceLab glance, string database)
        {
            _glance = glance;
            _database = database;
            Store = Directory.CreateDirectory(_directory.File("images")).FullName;
            Registry = new ImportLine(_directory);
        }

        public string Store { get; }

        public ImportLine Registry { get; }

        public string Connection => _glance.Connection(_database);

        /// <summary>The head of a qcow2 that names a backing file.</summary>
        public byte[] Qcow { get; } =
            [(byte)'Q', (byte)'F', (byte)'I', 0xfb, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 72, 0, 0, 0, 9, .. new byte[492]];

        public static async Task<OddLab> StartAsync(GlanceLab glance)
        {
            var lab = new OddLab(glance, await glance.NewSchemaAsync());
            System.IO.File.WriteAllBytes(Path.Combine(lab.Store, "good"), Content);
            System.IO.File.WriteAllBytes(Path.Combine(lab.Store, "damaged"), [.. Content[..^1], (byte)~Content[^1]]);
            System.IO.File.WriteAllBytes(Path.Combine(lab.Store, "short"), Content[..^1]);
            System.IO.File.WriteAllBytes(Path.Combine(lab.Store, "qcow2"), lab.Qcow);
            System.IO.File.WriteAllBytes(lab._directory.File("secret"), Content);
            System.IO.File.CreateSymbolicLink(Path.Combine(lab.Store, "link"), lab._directory.File("secret"));
            await lab.Registry.UpgradeAsync();
            Directory.CreateDirectory(Path.Combine(lab.Registry.Blobs, ".uploads"));
            return lab;
        }

        public string File(string name) => $"file://{Store}/{name}";

        /// <summary>Adds an active raw image of <see cref="Content"/>.</summary>
        public async Task AddAsync(int number, string? location, string? change = null, bool hasParts = true)
        {
            await _glance.SqlAsync(_database, $"""
                insert into images (id, name, status, visibility, size, checksum, os_hash_algo, os_hash_value, min_disk,
                    min_ram, protected, os_hidden, disk_format, container_format, owner, created_at, updated_at, deleted)
                values ('{Id(number)}', 'odd', 'active', 'private', {Content.Length}, '{Md5(Content)}', 'sha512',
                    '{Convert.ToHexStringLower(SHA512.HashData(Content))}', 0, 0, false, false, 'raw', 'bare', 'p',
                    '2020-01-01', '2020-01-01', false);
                """);
            if (change is not null)
            {
                await _glance.SqlAsync(_database, $"update images set {change} where id = '{Id(number)}'");
            }

            if (location is not null && hasParts)
            {
                await AddLocationAsync(number, location);
            }
        }

        public Task AddLocationAsync(int number, string location) => _glance.SqlAsync(_database, $"""
            insert into image_locations (image_id, value, meta_data, status, created_at, updated_at, deleted)
            values ('{Id(number)}', '{location}', '{"{}"}', 'active', '2020-01-01', '2020-01-01', false)
            """);

        /// <summary>Images that have bytes in the registry, in order.</summary>
        public string[] Blobs() =>
        [
            .. Directory.GetDirectories(Registry.Blobs).Select(d => Path.GetFileName(d)!)
                .Where(name => name != ".uploads").Order(StringComparer.Ordinal),
        ];

        /// <summary>Starts an import that somebody will kill.</summary>
        public Process Start()
        {
            var start = new ProcessStartInfo(
                RegistryProcess.Executable, ["db", "import-glance", "--from", Connection, "--files", Store])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            foreach (var (name, value) in Registry.Variables())
            {
                start.Environment[name] = value;
            }

            return Process.Start(start)!;
        }

        public ValueTask DisposeAsync()
        {
            _directory.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
