using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>A private PostgreSQL server on the loopback interface, in a temporary directory, gone after use.</summary>
/// <remarks>PostgreSQL refuses to run as root: then everything is run as the user postgres.</remarks>
public sealed class PostgresServer : IAsyncDisposable
{
    private const string BinariesRoot = "/usr/lib/postgresql";

    private readonly string _binaries;
    private readonly string _directory;
    private readonly int _port;

    private PostgresServer(string binaries, string directory, int port)
    {
        _binaries = binaries;
        _directory = directory;
        _port = port;
    }

    private string DataDirectory => Path.Combine(_directory, "data");

    /// <summary>Where the server's programs are; null when it is not installed.</summary>
    public static string? FindBinaries() =>
        !Directory.Exists(BinariesRoot)
            ? null
            : Directory.GetDirectories(BinariesRoot)
                .Select(version => Path.Combine(version, "bin"))
                .Where(bin => File.Exists(Path.Combine(bin, "initdb")) && File.Exists(Path.Combine(bin, "pg_ctl")))
                .OrderDescending(StringComparer.Ordinal)
                .FirstOrDefault();

    /// <summary>Starts a server.</summary>
    /// <exception cref="InvalidOperationException">It is not installed or does not start.</exception>
    public static async Task<PostgresServer> StartAsync()
    {
        var binaries = FindBinaries() ?? throw new InvalidOperationException($"No PostgreSQL under {BinariesRoot}.");
        var directory = Directory.CreateTempSubdirectory("registry-postgres-").FullName;
        var server = new PostgresServer(binaries, directory, Ports.Free());
        if (Environment.IsPrivilegedProcess)
        {
            await RunAsync("chown", "postgres", directory).ConfigureAwait(false);
        }

        // Not durable, on purpose: it never outlives the tests.
        var settings = string.Create(
            CultureInfo.InvariantCulture,
            $"-p {server._port} -h 127.0.0.1 -k {directory} -c fsync=off -c full_page_writes=off " +
            $"-c max_connections=400");
        await server.RunServerToolAsync("initdb", "-D", server.DataDirectory, "-A", "trust", "-U", "postgres",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync").ConfigureAwait(false);
        await server.RunServerToolAsync("pg_ctl", "-D", server.DataDirectory, "-l", Path.Combine(directory, "log"),
            "-o", settings, "-w", "-t", "30", "start").ConfigureAwait(false);
        return server;
    }

    /// <summary>The address, as a gate takes it.</summary>
    public Uri Address => new($"tcp://127.0.0.1:{_port}");

    /// <summary>Ends the server as a crash would, and starts it again.</summary>
    public Task CrashAsync() =>
        RunServerToolAsync(
            "pg_ctl", "-D", DataDirectory, "-l", Path.Combine(_directory, "log"), "-m", "immediate", "-w", "-t", "60",
            "restart");

    /// <summary>Connection string of a database, for Npgsql.</summary>
    public string ConnectionString(string database) => string.Create(
        CultureInfo.InvariantCulture,
        $"Host=127.0.0.1;Port={_port};Username=postgres;Database={database};Timeout=5;Command Timeout=30");

    /// <summary>Creates a database, as a copy of another where one is named.</summary>
    public Task CreateDatabaseAsync(string name, string? template = null) =>
        RunToolAsync("createdb", template is null ? [name] : ["-T", template, name]);

    /// <summary>Drops a database, whoever is connected to it.</summary>
    public Task DropDatabaseAsync(string name) => RunToolAsync("dropdb", ["--force", "--if-exists", name]);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await RunServerToolAsync("pg_ctl", "-D", DataDirectory, "-m", "immediate", "-w", "stop").ConfigureAwait(false);
        Directory.Delete(_directory, recursive: true);
    }

    private Task RunToolAsync(string tool, string[] arguments) =>
        RunAsync(
            Path.Combine(_binaries, tool),
            ["-h", "127.0.0.1", "-p", _port.ToString(CultureInfo.InvariantCulture), "-U", "postgres", .. arguments]);

    private Task RunServerToolAsync(string tool, params string[] arguments)
    {
        var path = Path.Combine(_binaries, tool);
        return Environment.IsPrivilegedProcess
            ? RunAsync("runuser", ["-u", "postgres", "--", path, .. arguments])
            : RunAsync(path, arguments);
    }

    // The server inherits the pipes of what starts it, so the output is read from a file, never waited for.
    private static async Task RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
        var output = Path.GetTempFileName();
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(output);
        start.ArgumentList.Add(program);
        Array.ForEach(arguments, start.ArgumentList.Add);
        try
        {
            using var process = Process.Start(start)!;
            await process.WaitForExitAsync().ConfigureAwait(false);
            if (process.ExitCode != 0)
            {
                var said = await File.ReadAllTextAsync(output).ConfigureAwait(false);
                throw new InvalidOperationException($"{program} failed ({process.ExitCode}): {said}");
            }
        }
        finally
        {
            File.Delete(output);
        }
    }
}
