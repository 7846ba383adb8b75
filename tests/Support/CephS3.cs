using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>A private S3 server on the loopback interface: Ceph's gateway over one monitor and one storage daemon that
/// keeps everything in memory. Gone after use.</summary>
/// <remarks>Authentication between the daemons is off, so the monitor must be spoken to in the plain mode; the gateway
/// needs <c>tcp_nodelay</c>, or each small answer takes 40 ms.</remarks>
public sealed class CephS3 : IAsyncDisposable
{
    /// <summary>Access key of the only user.</summary>
    public const string AccessKey = "registrytests";

    /// <summary>Secret key of the only user.</summary>
    public const string SecretKey = "canary-secret-of-the-tests";

    /// <summary>Region of all buckets.</summary>
    public const string Region = "us-east-1";

    private const int OsdPorts = 8;
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);
    private static readonly string[] Programs =
        ["ceph-mon", "ceph-osd", "radosgw", "ceph", "monmaptool", "radosgw-admin"];

    private readonly string _directory;
    private readonly List<Process> _daemons = [];
    private readonly int _port;
    private int _buckets;

    private CephS3(string directory, int port)
    {
        _directory = directory;
        _port = port;
    }

    /// <summary>Whether all programs are installed.</summary>
    public static bool IsInstalled => Programs.All(program => ExternalTool.Find(program) is not null);

    /// <summary>The endpoint.</summary>
    public Uri Endpoint => new($"http://127.0.0.1:{_port}");

    /// <summary>Process ids of the gateway and the storage daemons.</summary>
    public IEnumerable<int> ProcessIds => _daemons.Select(daemon => daemon.Id);

    private string Configuration => Path.Combine(_directory, "ceph.conf");

    /// <summary>Starts a server.</summary>
    /// <param name="memoryBytes">Most it keeps.</param>
    /// <exception cref="InvalidOperationException">It is not installed or does not start.</exception>
    public static async Task<CephS3> StartAsync(long memoryBytes = 4L << 30)
    {
        if (!IsInstalled)
        {
            throw new InvalidOperationException("Ceph is not installed: radosgw, ceph-mon, ceph-osd.");
        }

        var directory = Directory.CreateTempSubdirectory("registry-ceph-").FullName;
        var ports = FreePorts(2 + OsdPorts);
        var ceph = new CephS3(directory, ports[0]);
        try
        {
            await ceph.StartAsync(ports[1], ports[2..], memoryBytes).ConfigureAwait(false);
            return ceph;
        }
        catch
        {
            await ceph.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A bucket name that nobody uses yet.</summary>
    public string NewBucket() =>
        string.Create(CultureInfo.InvariantCulture, $"bucket-{Interlocked.Increment(ref _buckets)}");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var daemon in Enumerable.Reverse(_daemons))
        {
            if (!daemon.HasExited)
            {
                daemon.Kill(); // memory only: there is nothing to save
            }

            await daemon.WaitForExitAsync().ConfigureAwait(false);
            daemon.Dispose();
        }

        Directory.Delete(_directory, recursive: true);
    }

    private async Task StartAsync(int monitorPort, int[] osdPorts, long memoryBytes)
    {
        using var limit = new CancellationTokenSource(StartLimit);
        foreach (var name in new[] { "mon", "osd", "rgw", "run", "log" })
        {
            Directory.CreateDirectory(Path.Combine(_directory, name));
        }

        var cluster = Guid.NewGuid().ToString();
        await File.WriteAllTextAsync(Configuration, Settings(cluster, monitorPort, osdPorts, memoryBytes), limit.Token)
            .ConfigureAwait(false);
        var map = Path.Combine(_directory, "run", "monmap");
        await RunAsync("monmaptool", limit.Token, "--create", "--fsid", cluster, "--addv", "a",
            $"[v2:127.0.0.1:{monitorPort}]", map).ConfigureAwait(false);
        await RunAsync("ceph-mon", limit.Token, "-c", Configuration, "-i", "a", "--mkfs", "--monmap", map)
            .ConfigureAwait(false);
        Start("ceph-mon", "-i", "a");

        var osd = Guid.NewGuid().ToString();
        await AskAsync(limit.Token, "osd", "new", osd).ConfigureAwait(false);
        await AskAsync(limit.Token, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h0")
            .ConfigureAwait(false);
        await RunAsync("ceph-osd", limit.Token, "-c", Configuration, "-i", "0", "--mkfs", "--osd-uuid", osd)
            .ConfigureAwait(false);
        Start("ceph-osd", "-i", "0");
        while (!(await AskAsync(limit.Token, "osd", "stat").ConfigureAwait(false)).Contains("1 up", StringComparison.Ordinal))
        {
            await Task.Delay(100, limit.Token).ConfigureAwait(false);
        }

        await RunAsync("radosgw-admin", limit.Token, "-c", Configuration, "-n", "client.rgw", "user", "create",
            "--uid=tests", "--display-name=tests", $"--access-key={AccessKey}", $"--secret-key={SecretKey}",
            "--max-buckets=0").ConfigureAwait(false);
        Start("radosgw", "-n", "client.rgw");
        await WaitForGatewayAsync(limit.Token).ConfigureAwait(false);
    }

    private string Settings(string cluster, int monitorPort, int[] osdPorts, long memoryBytes) =>
        string.Create(CultureInfo.InvariantCulture, $"""
            [global]
            fsid = {cluster}
            mon_host = [v2:127.0.0.1:{monitorPort}/0]
            mon_initial_members = a
            public_addr = 127.0.0.1
            cluster_addr = 127.0.0.1
            ms_bind_msgr1 = false
            ms_bind_port_min = {osdPorts[0]}
            ms_bind_port_max = {osdPorts[^1]}
            ms_mon_client_mode = crc
            auth_cluster_required = none
            auth_service_required = none
            auth_client_required = none
            auth_allow_insecure_global_id_reclaim = false
            run_dir = {_directory}/run
            admin_socket = {_directory}/run/$name.asok
            log_file = {_directory}/log/$name.log
            crash_dir = {_directory}/log
            osd_pool_default_size = 1
            osd_pool_default_min_size = 1
            osd_pool_default_pg_num = 4
            osd_pool_default_pgp_num = 4
            osd_pool_default_pg_autoscale_mode = off
            osd_crush_chooseleaf_type = 0
            mon_allow_pool_size_one = true
            mon_max_pg_per_osd = 1000
            mon_data_avail_crit = 1
            mon_data_avail_warn = 2
            paxos_propose_interval = 0.05
            paxos_min_wait = 0.01
            mon_tick_interval = 1
            [mon]
            mon_data = {_directory}/mon
            mon_cluster_log_file = {_directory}/log/cluster.log
            [mon.a]
            public_addr = 127.0.0.1
            [osd]
            osd_data = {_directory}/osd
            osd_objectstore = memstore
            osd_crush_update_on_start = false
            osd_heartbeat_grace = 60
            osd_memory_target = 939524096
            memstore_device_bytes = {memoryBytes}
            [client.rgw]
            rgw_data = {_directory}/rgw
            rgw_frontends = beast endpoint=127.0.0.1:{_port} tcp_nodelay=1
            rgw_thread_pool_size = 64
            rgw_run_sync_thread = false
            rgw_gc_obj_min_wait = 1
            rgw_gc_processor_period = 2
            rgw_gc_processor_max_time = 2

            """);

    private void Start(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(Path.Combine(_directory, "log", program + ".out"));
        start.ArgumentList.Add(ExternalTool.Find(program)!);
        start.ArgumentList.Add("-f");
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(Configuration);
        Array.ForEach(arguments, start.ArgumentList.Add);
        _daemons.Add(Process.Start(start)!);
    }

    private Task<string> AskAsync(CancellationToken cancellationToken, params string[] question) =>
        RunAsync("ceph", cancellationToken, ["-c", Configuration, .. question]);

    private static async Task<string> RunAsync(
        string program, CancellationToken cancellationToken, params string[] arguments)
    {
        var start = new ProcessStartInfo(ExternalTool.Find(program)!, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
        var error = process.StandardError.ReadToEndAsync(cancellationToken);
        try
        {
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }

        return process.ExitCode == 0
            ? await output.ConfigureAwait(false)
            : throw new InvalidOperationException(
                $"{program} failed ({process.ExitCode}): {await error.ConfigureAwait(false)}");
    }

    private async Task WaitForGatewayAsync(CancellationToken cancellationToken)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        while (!_daemons[^1].HasExited)
        {
            try
            {
                using var answer = await http.GetAsync(Endpoint, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (HttpRequestException refused) when (refused.HttpRequestError == HttpRequestError.ConnectionError)
            {
                await Task.Delay(50, cancellationToken).ConfigureAwait(false); // it does not listen yet
            }
        }

        throw new InvalidOperationException("radosgw ended: " + await File.ReadAllTextAsync(
            Path.Combine(_directory, "log", "radosgw.out"), cancellationToken).ConfigureAwait(false));
    }

    // Ceph wants its storage daemon's ports as a range: a stretch that is free now, as a whole.
    private static int[] FreePorts(int count)
    {
        for (var attempt = 0; attempt < 100; attempt++)
        {
            var probes = new List<TcpListener> { Listen(0) };
            try
            {
                var first = ((IPEndPoint)probes[0].LocalEndpoint).Port;
                for (var port = first + 1; port < first + count; port++)
                {
                    probes.Add(Listen(port));
                }

                return [.. Enumerable.Range(first, count)];
            }
            catch (Exception taken) when (taken is SocketException or ArgumentOutOfRangeException)
            {
                continue; // by somebody else: another stretch
            }
            finally
            {
                probes.ForEach(probe => probe.Dispose());
            }
        }

        throw new InvalidOperationException("No free ports.");
    }

    private static TcpListener Listen(int port)
    {
        var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        return listener;
    }
}
