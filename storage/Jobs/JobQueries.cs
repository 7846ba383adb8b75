using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Jobs;

/// <summary>Which jobs to list.</summary>
/// <param name="Limit">At most so many, 1 to 1000.</param>
public sealed record JobListRequest(int Limit)
{
    /// <summary>Most jobs of a page.</summary>
    public const int LimitMax = 1000;

    /// <summary>Only jobs of this kind.</summary>
    public string? Kind { get; init; }

    /// <summary>Only jobs of this status.</summary>
    public JobStatus? Status { get; init; }

    /// <summary>Only jobs that work on this image.</summary>
    public string? ImageId { get; init; }

    /// <summary>Only jobs older than this one; an id that is no job's serves too.</summary>
    public Guid? Marker { get; init; }
}

/// <summary>Finds and lists jobs, for a viewer: an administrator sees all, a project its own.</summary>
public static class JobQueries
{
    /// <summary>Finds a job.</summary>
    /// <returns>Null when there is none, or the viewer may not see it.</returns>
    public static Task<Job?> FindAsync(RegistryDb db, Guid id, Viewer viewer, CancellationToken cancellationToken) =>
        Seen(db, viewer).SingleOrDefaultAsync(j => j.Id == id, cancellationToken);

    /// <summary>Lists a page of jobs, newest first.</summary>
    public static Task<List<Job>> ListAsync(
        RegistryDb db, JobListRequest request, Viewer viewer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Limit, JobListRequest.LimitMax);
        var jobs = Seen(db, viewer);
        jobs = request.Kind is { } kind ? jobs.Where(j => j.Kind == kind) : jobs;
        jobs = request.Status is { } status ? jobs.Where(j => j.Status == status) : jobs;
        jobs = request.ImageId is { } image ? jobs.Where(j => j.ImageId == image) : jobs;
        jobs = request.Marker is { } marker ? jobs.Where(j => j.Id < marker) : jobs;
        return jobs.OrderByDescending(j => j.Id).Take(request.Limit).ToListAsync(cancellationToken);
    }

    private static IQueryable<Job> Seen(RegistryDb db, Viewer viewer)
    {
        var jobs = db.Jobs.AsNoTracking();
        return viewer.IsAdmin
            ? jobs
            : jobs.Where(j => j.Owner != null && j.Owner == viewer.ProjectId);
    }
}
