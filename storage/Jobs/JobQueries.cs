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

    /// <summary>Only jobs of one of these statuses; none for any.</summary>
    public IReadOnlyList<JobStatus> Statuses { get; init; } = [];

    /// <summary>Only jobs that work on this image.</summary>
    public string? ImageId { get; init; }

    /// <summary>Whether the oldest come first.</summary>
    public bool IsAscending { get; init; }

    /// <summary>Whether jobs are sorted by their status's name first, in the same direction.</summary>
    public bool IsByStatus { get; init; }

    /// <summary>Only jobs that come after this one; an id that is no job's serves too.</summary>
    public Guid? Marker { get; init; }
}

/// <summary>Finds and lists jobs, for a viewer: an administrator sees all, a project its own.</summary>
public static class JobQueries
{
    /// <summary>Finds a job.</summary>
    /// <returns>Null when there is none, or the viewer may not see it.</returns>
    public static Task<Job?> FindAsync(RegistryDb db, Guid id, Viewer viewer, CancellationToken cancellationToken) =>
        Seen(db, viewer).SingleOrDefaultAsync(j => j.Id == id, cancellationToken);

    /// <summary>Lists a page of jobs, newest first unless asked otherwise.</summary>
    public static async Task<List<Job>> ListAsync(
        RegistryDb db, JobListRequest request, Viewer viewer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Limit, JobListRequest.LimitMax);
        var jobs = Seen(db, viewer);
        jobs = request.Kind is { } kind ? jobs.Where(j => j.Kind == kind) : jobs;
        jobs = request.Status is { } status ? jobs.Where(j => j.Status == status) : jobs;
        jobs = request.ImageId is { } image ? jobs.Where(j => j.ImageId == image) : jobs;
        jobs = request.Statuses is { Count: > 0 } statuses ? jobs.Where(j => statuses.Contains(j.Status)) : jobs;
        if (request.Marker is { } marker)
        {
            jobs = request.IsByStatus
                ? await AfterAsync(db, jobs, marker, request.IsAscending, cancellationToken).ConfigureAwait(false)
                : After(jobs, marker, request.IsAscending);
        }

        jobs = (request.IsByStatus, request.IsAscending) switch
        {
            (true, true) => jobs.OrderBy(j => j.Status).ThenBy(j => j.Id),
            (true, false) => jobs.OrderByDescending(j => j.Status).ThenByDescending(j => j.Id),
            (false, true) => jobs.OrderBy(j => j.Id),
            (false, false) => jobs.OrderByDescending(j => j.Id),
        };
        return await jobs.Take(request.Limit).ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    private static IQueryable<Job> After(IQueryable<Job> jobs, Guid marker, bool isAscending) =>
        isAscending ? jobs.Where(j => j.Id > marker) : jobs.Where(j => j.Id < marker);

    private static async Task<IQueryable<Job>> AfterAsync(
        RegistryDb db, IQueryable<Job> jobs, Guid marker, bool isAscending, CancellationToken cancellationToken)
    {
        var last = await db.Jobs.AsNoTracking().SingleOrDefaultAsync(j => j.Id == marker, cancellationToken)
            .ConfigureAwait(false);
        if (last is null)
        {
            return After(jobs, marker, isAscending);
        }

        var sign = isAscending ? 1 : -1;
        var later = Enum.GetValues<JobStatus>().Where(s => sign * string.CompareOrdinal(
            JobStatuses.Name(s), JobStatuses.Name(last.Status)) > 0).ToArray();
        return isAscending
            ? jobs.Where(j => later.Contains(j.Status) || (j.Status == last.Status && j.Id > marker))
            : jobs.Where(j => later.Contains(j.Status) || (j.Status == last.Status && j.Id < marker));
    }

    private static IQueryable<Job> Seen(RegistryDb db, Viewer viewer)
    {
        var jobs = db.Jobs.AsNoTracking();
        return viewer.IsAdmin
            ? jobs
            : jobs.Where(j => j.Owner != null && j.Owner == viewer.ProjectId);
    }
}
