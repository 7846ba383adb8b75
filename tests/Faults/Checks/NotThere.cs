using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;

namespace Registry.Faults.Checks;

/// <summary>Check 27 of the bar.</summary>
internal sealed class NotThere : FaultCheck
{
    private const double DifferenceMax = 0.10;
    private const int Together = 20; // one measurement after the other, both kinds in turn
    private static readonly HashSet<string> DifferEachTime =
        new(StringComparer.OrdinalIgnoreCase) { "Date", "x-openstack-request-id" };

    private static readonly (string Method, string Path, string? Body)[] Calls =
    [
        ("GET", "", null),
        ("PATCH", "", """[{"op":"replace","path":"/name","value":"x"}]"""),
        ("DELETE", "", null),
        ("GET", "/file", null),
        ("PUT", "/file", "content"),
        ("PUT", "/stage", "content"),
        ("GET", "/members", null),
        ("POST", "/members", """{"member":"x"}"""),
        ("DELETE", "/members/x", null),
        ("PUT", "/tags/t", null),
        ("GET", "/locations", null),
        ("POST", "/import", """{"method":{"name":"glance-direct"}}"""),
    ];

    /// <inheritdoc/>
    public override string Name => "not-there";

    /// <inheritdoc/>
    public override string Description => """
          Somebody of another project asks for a private image, and for an id that no image has: twelve calls. Status, headers and
          body are the same. In a full run each call is made 500 times for each of the two, in turn, and the medians of the times
          differ by 10 % at most.
        """;

    /// <inheritdoc/>
    public override int Rounds => 500;

    /// <inheritdoc/>
    public override int SmokeRounds => 1;

    /// <inheritdoc/>
    public override bool IsSmoked(bool isProduction) => !isProduction;

    /// <inheritdoc/>
    public override async Task<string> RunAsync(Trial trial)
    {
        await using var site = await trial.NewSiteAsync();
        var registry = await site.StartAsync();
        using var stranger = Site.ClientOf(registry, Site.Stranger);
        var id = await registry.Client.AddAsync(trial.Bytes(100_000), "nobody else's business");
        using (await registry.Client.PatchAsync(
            $"/v2/images/{id}", Body("PATCH", """[{"op":"replace","path":"/visibility","value":"private"}]""")))
        {
            // What it was before makes no difference.
        }

        var (worst, where) = (0.0, "");
        foreach (var call in Calls)
        {
            var (theirs, none) = (await AnswerAsync(stranger, call, id), await AnswerAsync(stranger, call, NewId()));
            if (theirs != none || !theirs.StartsWith("404", StringComparison.Ordinal))
            {
                throw new FaultException(
                    $"{call.Method} {call.Path}: of an image {theirs.ReplaceLineEndings(" | ")}, of none {none.ReplaceLineEndings(" | ")}");
            }

            if (trial.Rounds >= Together)
            {
                var difference = await MeasureAsync(stranger, call, id, trial.Rounds);
                trial.Say($"{call.Method} {call.Path}: medians differ by {difference:P1}");
                (worst, where) = difference > worst ? (difference, $"{call.Method} {call.Path}") : (worst, where);
            }
        }

        if (worst > DifferenceMax)
        {
            throw new FaultException($"{where}: the medians of the times differ by {worst:P1}");
        }

        return $"{Calls.Length} calls answered alike, byte by byte" + (trial.Rounds < Together
            ? ""
            : $", medians of {trial.Rounds} differ by {worst:P1} at most ({where})");
    }

    private static async Task<double> MeasureAsync(
        HttpClient http, (string Method, string Path, string? Body) call, string id, int rounds)
    {
        var times = new[] { new List<long>(), new List<long>() };
        for (var round = 0; round < rounds + Together; round++)
        {
            foreach (var kind in round % 2 == 0 ? [0, 1] : new[] { 1, 0 })
            {
                var target = kind == 0 ? id : NewId();
                var started = Stopwatch.GetTimestamp();
                using var response = await SendAsync(http, call, target);
                await response.Content.ReadAsByteArrayAsync();
                if (round >= Together)
                {
                    times[kind].Add(Stopwatch.GetTimestamp() - started);
                }
            }
        }

        var (theirs, none) = (Median(times[0]), Median(times[1]));
        return Math.Abs(theirs - none) / Math.Min(theirs, none);
    }

    private static double Median(List<long> times)
    {
        times.Sort();
        return times[times.Count / 2];
    }

    private static async Task<string> AnswerAsync(
        HttpClient http, (string Method, string Path, string? Body) call, string id)
    {
        using var response = await SendAsync(http, call, id);
        var answer = new StringBuilder($"{(int)response.StatusCode}\n");
        foreach (var (name, values) in response.Headers.Concat(response.Content.Headers)
            .Where(header => !DifferEachTime.Contains(header.Key)).OrderBy(header => header.Key, StringComparer.Ordinal))
        {
            answer.Append(name).Append(": ").AppendJoin(',', values).Append('\n');
        }

        return answer.Append(await response.Content.ReadAsStringAsync()).ToString()
            .Replace(id, "ID", StringComparison.Ordinal);
    }

    private static async Task<HttpResponseMessage> SendAsync(
        HttpClient http, (string Method, string Path, string? Body) call, string id)
    {
        using var request = new HttpRequestMessage(new HttpMethod(call.Method), $"/v2/images/{id}{call.Path}");
        request.Content = call.Body is null ? null : Body(call.Method, call.Body);
        return await http.SendAsync(request);
    }

    private static StringContent Body(string method, string text)
    {
        var content = new StringContent(text);
        content.Headers.ContentType = new MediaTypeHeaderValue(method switch
        {
            "PATCH" => "application/openstack-images-v2.1-json-patch",
            "PUT" => "application/octet-stream",
            _ => "application/json",
        });
        return content;
    }

    private static string NewId() => Guid.NewGuid().ToString("D");
}
