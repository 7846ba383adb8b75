using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>What a project may have, as somebody else says. Negative is no limit.</summary>
/// <param name="ProjectId">The project.</param>
/// <param name="StoredMebibytes">MiB of its images, in all stores together.</param>
/// <param name="StagedMebibytes">MiB that wait to be imported.</param>
/// <param name="Images">Images that live.</param>
/// <param name="Uploading">Images that are getting their bytes.</param>
public sealed record ProjectLimits(
    string ProjectId, long StoredMebibytes, long StagedMebibytes, long Images, long Uploading);

/// <summary>Whoever says what projects may have.</summary>
public interface IProjectLimits
{
    /// <summary>Asks. Not in a transaction: the answer may take a while.</summary>
    /// <param name="projectId">The project.</param>
    /// <param name="cancellationToken">Cancels the question.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell.</exception>
    Task<ProjectLimits> FindAsync(string projectId, CancellationToken cancellationToken);
}

/// <summary>What is about to be taken of a project's limits; null is nothing of that kind.</summary>
/// <param name="StoredBytes">Bytes more in stores; 0 where nobody knows yet how many.</param>
/// <param name="StagedBytes">Bytes more that wait to be imported; 0 where nobody knows yet how many.</param>
/// <param name="Images">Images more.</param>
/// <param name="Uploading">Images more that are getting their bytes.</param>
/// <param name="Replaces">Image whose staged bytes these take the place of.</param>
internal readonly record struct ProjectNeed(
    long? StoredBytes = null,
    long? StagedBytes = null,
    int? Images = null,
    int? Uploading = null,
    string? Replaces = null);
