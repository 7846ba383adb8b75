using System.Collections.Concurrent;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Registry.Support;

namespace Registry.Api.Tests.Auth;

/// <summary>Who gets what from every HTTP route and gRPC method that there is: authz.csv beside this file says it, and
/// what it does not say fails.</summary>
public sealed class AuthorisationMatrixTests : IAsyncLifetime
{
    private const string NoKind = "-";

    private readonly MatrixLab _lab = new();
    private readonly ConcurrentDictionary<(string Kind, bool WithData), Lazy<Task<string>>> _shared = new();

    public async ValueTask InitializeAsync() => await _lab.StartAsync();

    public ValueTask DisposeAsync() => _lab.DisposeAsync();

    [Fact]
    public async Task Every_route_answers_every_caller_about_every_image_as_the_table_says()
    {
        var expected = Read();
        var rows = Routes().SelectMany(
            route => Kinds(route).Select(kind => (Route: route, Kind: kind))).ToList();
        var wrong = new ConcurrentBag<string>();
        await Parallel.ForEachAsync(
            rows, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = RegistryApp.Stop },
            async (row, _) =>
            {
                var wanted = expected.GetValueOrDefault(row);
                var answers = new List<string>();
                for (var i = 0; i < MatrixLab.Callers.Length; i++)
                {
                    answers.Add(await CallAsync(MatrixLab.Callers[i], row.Route, row.Kind, wanted?[i]));
                }

                if (wanted is null || !wanted.SequenceEqual(answers))
                {
                    wrong.Add($"{row.Route},{row.Kind},{string.Join(',', answers)}");
                }
            });

        Assert.True(
            wrong.IsEmpty, $"These rows are wrong or missing in the table:\n{string.Join('\n', wrong.Order())}");
        Assert.Empty(expected.Keys.Except(rows));
    }

    // Who is refused leaves an image as it was, and all who are may ask about the same one.
    private async Task<string> CallAsync(string caller, string route, string kind, string? wanted)
    {
        var isGrpc = route[0] == '/';
        var withData = !(isGrpc ? MatrixCalls.WantsEmpty(route) : MatrixRequests.WantsEmpty(route));
        var changes = wanted is null or "OK" || wanted[0] == '2';
        var id = kind == NoKind
            ? ""
            : changes && !route.StartsWith("GET", StringComparison.Ordinal)
                ? await _lab.MakeAsync(kind, withData)
                : await _shared.GetOrAdd(
                    (kind, withData), _ => new Lazy<Task<string>>(() => _lab.MakeAsync(kind, withData))).Value;
        return isGrpc
            ? await MatrixCalls.CallAsync(_lab, caller, route, id)
            : await MatrixRequests.CallAsync(_lab, caller, route, id);
    }

    private List<string> Routes()
    {
        var routes = new List<string>();
        foreach (var endpoint in _lab.App.Services.GetServices<EndpointDataSource>()
            .SelectMany(source => source.Endpoints).OfType<RouteEndpoint>())
        {
            var path = "/" + endpoint.RoutePattern.RawText!.Trim('/');
            if (endpoint.Metadata.GetMetadata<GrpcMethodMetadata>() is not null)
            {
                routes.Add(path);
                continue;
            }

            var methods = endpoint.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? ["GET"];
            routes.AddRange(methods.Select(method => $"{method} {path}"));
        }

        Assert.InRange(routes.Count, 50, 500);
        return routes;
    }

    private static string[] Kinds(string route)
    {
        var isAboutImage = route[0] == '/'
            ? MatrixCalls.IsAboutImage(route)
            : route.Contains("images/{id}", StringComparison.Ordinal) // cached_ and queued_ ones too
                || route.Contains("/cache/{id}", StringComparison.Ordinal)
                || route.Contains("/cache/nodes/{id}", StringComparison.Ordinal)
                || route.Contains("/stores/{store}/{id}", StringComparison.Ordinal);
        return isAboutImage ? MatrixLab.Kinds : [NoKind];
    }

    private static Dictionary<(string Route, string Kind), string[]> Read()
    {
        var lines = File.ReadAllLines(Path.Combine(RepositoryTree.Root, "tests", "Api.Tests", "Auth", "authz.csv"));
        Assert.Equal("route,kind," + string.Join(',', MatrixLab.Callers), lines[0]);
        return lines.Skip(1).Select(line => line.Split(',')).ToDictionary(cells => (cells[0], cells[1]), cells => cells[2..]);
    }
}
