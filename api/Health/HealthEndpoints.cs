using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Registry.Api.Errors;
using Registry.Api.Stores;
using Registry.Storage.Metadata;

namespace Registry.Api.Health;

/// <summary>/healthcheck (Glance's), /livez and /readyz. None asks who is asking.</summary>
public static class HealthEndpoints
{
    private static readonly string[] Methods = ["GET", "HEAD"];

    /// <summary>Lists the routes.</summary>
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapMethods("/healthcheck", Methods, (HttpContext context) =>
            context.Request.Headers.Accept.ToString().Contains("application/json", StringComparison.Ordinal)
                ? Results.Text("{\"detailed\": false, \"reasons\": [\"OK\"]}", "application/json")
                : Results.Text("OK"));
        routes.MapMethods("/livez", Methods, () => Results.Text("OK"));
        routes.MapMethods("/readyz", Methods, async (HealthCheckService checks, CancellationToken cancellationToken) =>
        {
            var report = await checks.CheckHealthAsync(cancellationToken);
            var problem = report.Entries.Values.FirstOrDefault(entry => entry.Status == report.Status).Description;
            return report.Status switch
            {
                HealthStatus.Healthy => Results.Text("OK"),
                HealthStatus.Degraded => Results.Text($"degraded: {problem}"), // it serves: keep it in the rotation
                _ => Results.Text(problem, statusCode: StatusCodes.Status503ServiceUnavailable),
            };
        });
    }
}

/// <summary>Whether the database answers.</summary>
internal sealed class DatabaseHealth(IDbContextFactory<RegistryDb> databases) : IHealthCheck
{
    /// <inheritdoc/>
    public async Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await db.Database.CanConnectAsync(cancellationToken)
            ? HealthCheckResult.Healthy()
            : HealthCheckResult.Unhealthy("The database does not answer.");
    }
}

/// <summary>Whether there is room to write.</summary>
internal sealed class RoomHealth(RoomGate room, StoreSet stores) : IHealthCheck
{
    /// <inheritdoc/>
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken) =>
        Task.FromResult((room.Problem ?? stores.RoomProblem()) is { } problem
            ? HealthCheckResult.Degraded(problem)
            : HealthCheckResult.Healthy());
}
