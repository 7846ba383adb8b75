using System.Globalization;
using Registry.Storage.Metadata;

namespace Registry.Storage.Jobs;

/// <summary>The statements that give a worker a job. In each, {0} is the present, {1} the end of the lease and {2} the
/// worker; further parameters follow.</summary>
internal static class JobClaim
{
    private const int FirstParameter = 3;

    private const string Take =
        """
        update jobs
        set status = 'running', lease_owner = {2}, lease_until = {1}, attempt = attempt + 1, updated_at = {0}, claimed_at = {0}
        """;

    private const string IsFree = "j.ended_at is null and (j.status = 'pending' or j.lease_until < {0})";

    /// <summary>A certain job, due or not: {3} is its id.</summary>
    public static string Certain(RegistryDb db) =>
        $$"""
        {{Take}}
        where id = (select j.id from jobs j where j.id = {3} and {{IsFree}} {{DatabaseDialect.SkipLocked(db, "j")}})
        returning *
        """;

    /// <summary>The next job that is due: weighted round robin among projects. The more jobs of a project run, the later is
    /// its turn; among projects with as many, the one that was served longest ago is next.</summary>
    /// <remarks>Only jobs that have not ended are counted, so the cost grows with them, and by two look-ups in an index for
    /// each project.</remarks>
    /// <param name="db">The database.</param>
    /// <param name="kinds">Number of parameters with kinds, 1 or more; the first ones.</param>
    /// <param name="except">Number of parameters with projects that are left out; they follow.</param>
    public static string Next(RegistryDb db, int kinds, int except)
    {
        var ofKind = $"in ({Parameters(FirstParameter, kinds)})";
        var others = except == 0
            ? ""
            : $"and coalesce(j.owner, '') not in ({Parameters(FirstParameter + kinds, except)})";
        return
            $$"""
            with live as (
                select coalesce(owner, '') as project,
                       sum(case when status = 'running' and lease_until >= {0} then 1 else 0 end) as running
                from jobs where ended_at is null and kind {{ofKind}} group by coalesce(owner, '')),
            shares as (
                select project, running,
                       case when project = '' then (select max(claimed_at) from jobs where owner is null)
                            else (select max(claimed_at) from jobs where owner = project) end as served
                from live)
            {{Take}}
            where id = (
                select j.id from jobs j join shares s on s.project = coalesce(j.owner, '')
                where {{IsFree}} and j.run_after <= {0} and j.kind {{ofKind}} {{others}}
                order by s.running, s.served nulls first, j.run_after, j.id limit 1 {{DatabaseDialect.SkipLocked(db, "j")}})
            returning *
            """;
    }

    private static string Parameters(int first, int count) => string.Join(
        ", ", Enumerable.Range(first, count).Select(n => string.Create(CultureInfo.InvariantCulture, $"{{{n}}}")));
}
