using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Usage;

/// <summary>What projects may have by Keystone's unified limits: a project's own limit, or else the registered one.</summary>
/// <remarks>As oslo.limit has it, what is not registered is nobody's to take: its limit is 0. -1 is no limit. While
/// Keystone does not answer, what it said up to five minutes ago counts.</remarks>
internal sealed partial class KeystoneLimits : IProjectLimits
{
    private const int ProjectsMax = 20_000;
    private static readonly TimeSpan UsableFor = TimeSpan.FromMinutes(5);

    private readonly KeystoneClient _keystone;
    private readonly QuotaSection _options;
    private readonly ILogger<KeystoneLimits> _logger;
    private readonly AnswerCache<ProjectLimits> _limits;
    private readonly AnswerCache<Place> _places;

    /// <summary>Asks nothing yet.</summary>
    public KeystoneLimits(
        KeystoneClient keystone, TimeProvider clock, IOptions<RegistryOptions> options, ILogger<KeystoneLimits> logger)
    {
        _keystone = keystone;
        _options = options.Value.Quota;
        _logger = logger;
        _limits = new AnswerCache<ProjectLimits>(ProjectsMax, UsableFor, clock);
        _places = new AnswerCache<Place>(1, UsableFor, clock);
    }

    /// <inheritdoc/>
    public async Task<ProjectLimits> FindAsync(string projectId, CancellationToken cancellationToken) =>
        await _limits.FindAsync(projectId, _ => _options.FreshFor, () => AskAsync(projectId), cancellationToken);

    private async Task<ProjectLimits> AskAsync(string projectId)
    {
        var place = await _places.FindAsync("", _ => UsableFor, FindPlaceAsync, CancellationToken.None);
        var registered = _keystone.ReadAsync($"registered_limits?{place.Query}", CancellationToken.None);
        var own = _keystone.ReadAsync(
            $"limits?{place.Query}&project_id={Uri.EscapeDataString(projectId)}", CancellationToken.None);
        await Task.WhenAll(registered, own);
        var found = new Dictionary<string, long>(StringComparer.Ordinal);
        Add(found, await registered, "registered_limits", "default_limit", place, projectId: null);
        Add(found, await own, "limits", "resource_limit", place, projectId);
        return new ProjectLimits(
            projectId, Limit("image_size_total"), Limit("image_stage_total"), Limit("image_count_total"),
            Limit("image_count_uploading"));

        long Limit(string resource)
        {
            if (found.TryGetValue(resource, out var limit))
            {
                return limit;
            }

            Log.NotRegistered(_logger, resource, place.ServiceId, place.RegionId ?? "");
            return 0;
        }
    }

    // Whatever the filters of a query are worth to this Keystone.
    private static void Add(
        Dictionary<string, long> found, JsonElement answer, string list, string name, Place place, string? projectId)
    {
        foreach (var limit in Items(answer, list))
        {
            if (Text(limit, "service_id") == place.ServiceId && Text(limit, "region_id") == place.RegionId
                && (projectId is null || Text(limit, "project_id") == projectId)
                && Text(limit, "resource_name") is { } resource
                && limit.TryGetProperty(name, out var value) && value.TryGetInt64(out var number))
            {
                found[resource] = number;
            }
        }
    }

    private async Task<Place> FindPlaceAsync()
    {
        if (_options.EndpointId.Length > 0)
        {
            var answer = await _keystone.ReadAsync(
                $"endpoints/{Uri.EscapeDataString(_options.EndpointId)}", CancellationToken.None);
            return answer.TryGetProperty("endpoint", out var endpoint) && Text(endpoint, "service_id") is { } id
                ? new Place(id, Text(endpoint, "region_id"))
                : throw Unusable($"it has no endpoint {_options.EndpointId}");
        }

        var query = _options.Service.Length > 0 ? $"name={Uri.EscapeDataString(_options.Service)}" : "type=image";
        var services = Items(await _keystone.ReadAsync($"services?{query}", CancellationToken.None), "services")
            .Select(service => Text(service, "id")!).ToList();
        if (services.Count != 1)
        {
            throw Unusable($"it has {services.Count} services with {query}; Registry:Quota says which one");
        }

        if (_options.Region.Length > 0)
        {
            return new Place(services[0], _options.Region);
        }

        var endpoints = await _keystone.ReadAsync($"endpoints?service_id={services[0]}", CancellationToken.None);
        var regions = Items(endpoints, "endpoints").Select(endpoint => Text(endpoint, "region_id")).Distinct().ToList();
        return regions.Count == 1
            ? new Place(services[0], regions[0])
            : throw Unusable($"the image service is in {regions.Count} regions; Registry:Quota:Region says which one");
    }

    private static JsonElement.ArrayEnumerator Items(JsonElement answer, string list) =>
        answer.TryGetProperty(list, out var items) && items.ValueKind == JsonValueKind.Array
            ? items.EnumerateArray()
            : throw Unusable($"its answer has no {list}");

    private static string? Text(JsonElement item, string name) =>
        item.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static RegistryException Unusable(string why) => KeystoneClient.Unavailable($"limits cannot be read: {why}", null);

    private sealed record Place(string ServiceId, string? RegionId)
    {
        public string Query { get; } = $"service_id={Uri.EscapeDataString(ServiceId)}"
            + (RegionId is null ? "" : $"&region_id={Uri.EscapeDataString(RegionId)}");
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error,
            "Keystone has no registered limit {Resource} for service {ServiceId} in region '{RegionId}': it counts as 0")]
        public static partial void NotRegistered(ILogger logger, string resource, string serviceId, string regionId);
    }
}
