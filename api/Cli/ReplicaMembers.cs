using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Registry.Api.Cli;

/// <summary>The projects that images are shared with on one server, and what another one knows of them.</summary>
/// <remarks>Only that a project is a member can be told to another server. Whether it accepts is its own to say.</remarks>
/// <param name="from">The source.</param>
/// <param name="to">The target.</param>
internal sealed class ReplicaMembers(ImageApi from, ImageApi to)
{
    /// <summary>Finds the members that the target has not got.</summary>
    /// <param name="source">The image on the source.</param>
    /// <param name="target">The image on the target.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Their ids, sorted; none where the source does not tell of any.</returns>
    /// <exception cref="ImageApiException">The target does not tell its members.</exception>
    public async Task<IReadOnlyList<string>> MissingAsync(
        ReplicaImage source, ReplicaImage target, CancellationToken cancellationToken)
    {
        var wanted = await WantedAsync(source, cancellationToken);
        if (wanted.Count == 0)
        {
            return [];
        }

        var there = await ListAsync(to, source.Id, cancellationToken);
        return [.. wanted.Where(member => member != target.Owner).Except(there).Order(StringComparer.Ordinal)];
    }

    /// <summary>Makes a project a member on the target, which waits for its answer then.</summary>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public Task AddAsync(string imageId, string member, CancellationToken cancellationToken) => to.SendJsonAsync(
        HttpMethod.Post, PathOf(imageId), new JsonObject { ["member"] = member }.ToJsonString(), cancellationToken);

    // Who may not see them has nothing to copy, and images that are not shared have none.
    private async Task<IReadOnlyList<string>> WantedAsync(ReplicaImage source, CancellationToken cancellationToken)
    {
        if (!source.IsShared)
        {
            return [];
        }

        try
        {
            return await ListAsync(from, source.Id, cancellationToken);
        }
        catch (ImageApiException e) when (e.Status is HttpStatusCode.Forbidden or HttpStatusCode.NotFound)
        {
            return [];
        }
    }

    private static async Task<IReadOnlyList<string>> ListAsync(
        ImageApi api, string imageId, CancellationToken cancellationToken)
    {
        var answer = await api.GetAsync(PathOf(imageId), cancellationToken);
        return
        [
            .. answer.GetProperty("members").EnumerateArray()
                .Select(member => member.GetProperty("member_id").GetString()!),
        ];
    }

    private static string PathOf(string imageId) => $"v2/images/{Uri.EscapeDataString(imageId)}/members";
}
