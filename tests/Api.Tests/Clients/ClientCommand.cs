using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Clients;

/// <summary>A command line of a real client, and what must come of it.</summary>
/// <param name="Line">Arguments after the program and its connection options, separated by single spaces. A word in
/// braces stands for what an earlier command answered, or for a file.</param>
/// <param name="ExitCode">Expected exit code.</param>
/// <param name="Facts">Texts that the output contains.</param>
public sealed record ClientStep(string Line, int ExitCode = 0, params string[] Facts)
{
    /// <summary>Name under which the output's last word is kept for later steps; null to keep nothing.</summary>
    public string? Keep { get; init; }
}

/// <summary>One of the OpenStack clients, pointed at a registry without Keystone.</summary>
public sealed class ClientCommand
{
    private readonly OpenStackClients _clients;
    private readonly string _name;
    private readonly string[] _connection;
    private readonly string _home;
    private readonly Dictionary<string, string> _words;

    private ClientCommand(
        OpenStackClients clients, string name, string[] connection, string home, IReadOnlyDictionary<string, string> words)
    {
        _clients = clients;
        _name = name;
        _connection = connection;
        _home = home;
        _words = new Dictionary<string, string>(words);
    }

    /// <summary>The openstack command.</summary>
    /// <param name="clients">What runs it.</param>
    /// <param name="url">The registry's address.</param>
    /// <param name="home">A home directory of its own.</param>
    /// <param name="words">What words in braces stand for.</param>
    public static ClientCommand OpenStack(
        OpenStackClients clients, Uri url, string home, IReadOnlyDictionary<string, string> words) =>
        new(clients, "openstack", ["--os-auth-type", "none", "--os-endpoint", url.ToString().TrimEnd('/')], home, words);

    /// <summary>The glance command.</summary>
    /// <param name="clients">What runs it.</param>
    /// <param name="url">The registry's address.</param>
    /// <param name="home">A home directory of its own: the client keeps the server's schemas there.</param>
    /// <param name="words">What words in braces stand for.</param>
    public static ClientCommand Glance(
        OpenStackClients clients, Uri url, string home, IReadOnlyDictionary<string, string> words) =>
        new(clients, "glance", ["--os-image-url", url.ToString().TrimEnd('/'), "--os-auth-token", "none"], home, words);

    /// <summary>Runs steps one after the other and requires what they require.</summary>
    public async Task RunAsync(IEnumerable<ClientStep> steps)
    {
        foreach (var step in steps)
        {
            var result = await RunAsync(step.Line);
            var answer = $"{_name} {step.Line}\nended with {result.ExitCode}:\n{result.Output}{result.Error}";
            Assert.True(step.ExitCode == result.ExitCode, answer);
            foreach (var fact in step.Facts)
            {
                Assert.True(
                    (result.Output + result.Error).Contains(Filled(fact), StringComparison.Ordinal),
                    $"No '{Filled(fact)}' in\n{answer}");
            }


            if (step.Keep is { } name)
                _words[name] = result.Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[^1];
        }
    }

    private Task<ToolResult> RunAsync(string line) => _clients.RunAsync(
        _name,
        [.. _connection, .. line.Split(' ').Select(Filled)],
        _home,
        new Dictionary<string, string>(),
        TestContext.Current.CancellationToken);

    private string Filled(string text) =>
        _words.Aggregate(
            text, (filled, word) => filled.Replace($"{{{word.Key}}}", word.Value, StringComparison.Ordinal));
}
