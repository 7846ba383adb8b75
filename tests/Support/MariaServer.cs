using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>A private MariaDB server on the loopback interface, in a temporary directory, gone after use. It asks nobody
/// for a password: it has no tables of users.</summary>
public sealed class MariaServer : IAsyncDisposable
{
    private const string Daemon = "mariadbd";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(1);

    private readonly string _directory;
    private readonly Process _process;

    private MariaServer(string directory, Process process, int port)
    {
        _directory = directory;
        _process = process;
        Port = port;
    }

    /// <summary>Whether it is installed.</summary>
    public static bool IsInstalled => ExternalTool.Find(Daemon) is not null;

    /// <summary>Where it listens.</summary>
    public int Port { get; }

    /// <summary>Starts a server.</summary>
    /// <exception cref="InvalidOperationException">It is not installed or does not start.</exception>
    public static async Task<MariaServer> StartAsync(CancellationToken cancellationToken)
    {
        var directory = Directory.CreateTempSubdirectory("registry-mariadb-").FullName;
        var data = Directory.CreateDirectory(Path.Combine(directory, "data")).FullName;
        var port = Ports.Free();
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(Path.Combine(directory, "log"));
        start.ArgumentList.Add(ExternalTool.Find(Daemon)!);
        start.ArgumentList.Add("--no-defaults");
        start.ArgumentList.Add($"--datadir={data}");
        start.ArgumentList.Add($"--user={Environment.UserName}");
        start.ArgumentList.Add("--skip-grant-tables");
        start.ArgumentList.Add("--bind-address=127.0.0.1");
        start.ArgumentList.Add(string.Create(CultureInfo.InvariantCulture, $"--port={port}"));
        start.ArgumentList.Add($"--socket={Path.Combine(directory, "socket")}");
        var server = new MariaServer(directory, Process.Start(start)!, port);
        try
        {
            await server.WaitAsync(cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(); // it never outlives the tests
        }

        await _process.WaitForExitAsync().ConfigureAwait(false);
        _process.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private async Task WaitAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        while (!_process.HasExited)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync("127.0.0.1", Port, limit.Token).ConfigureAwait(false);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(100, limit.Token).ConfigureAwait(false); // it does not listen yet
            }
        }

        throw new InvalidOperationException("mariadbd ended: " + await File.ReadAllTextAsync(
            Path.Combine(_directory, "log"), cancellationToken).ConfigureAwait(false));
    }
}
