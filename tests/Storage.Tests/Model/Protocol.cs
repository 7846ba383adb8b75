using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Model;

/// <summary>The steps of uploads, copies, clones and deletions, each atomic, with the names that they have in the code. A
/// step of the database may lose its answer; every process may crash or pause between steps.</summary>
internal sealed class Protocol(Faults faults)
{
    private const int RequestsMax = 1;
    private static readonly string Lease = $"{nameof(JobQueue)}.{nameof(JobQueue.LeaseAsync)}";
    private static readonly string Begin = nameof(CopyLedger.BeginAsync);
    private static readonly string Commit = nameof(CopyLedger.CommitAsync);
    private static readonly string Abandon = nameof(UploadLedger.AbandonAsync);
    private static readonly string Reclaim = nameof(UploadLedger.ReclaimAsync);
    private static readonly string Publish = $"{nameof(IBlobWriter)}.{nameof(IBlobWriter.CommitAsync)}";
    private static readonly string Remove = $"{nameof(BlobRemoval)}.{nameof(BlobRemoval.RemoveAsync)}";
    private static readonly string Delete = $"{nameof(IBlobStore)}.{nameof(IBlobStore.DeleteAsync)}";

    public IEnumerable<(string Step, World Next)> Next(World w)
    {
        for (var actor = 0; actor < World.Actors; actor++)
        {
            foreach (var (step, next, lost) in StepsOf(w, actor))
            {
                yield return ($"{actor}: {step}", next);
                if (lost is { } at && w.Misfortunes > 0)
                {
                    yield return ($"{actor}: {step}, answer lost", next.Move(actor, at) with { Misfortunes = w.Misfortunes - 1 });
                }
            }

            if (w.Misfortunes > 0 && w[actor].At is not (At.Idle or At.Done))
            {
                yield return ($"{actor}: crash", w.Move(actor, w.Work == Work.Upload && actor < World.Client ? At.Done : At.Idle) with
                {
                    Misfortunes = w.Misfortunes - 1,
                });
            }
        }

        var (hasWorker, hasWriter) = (w[w.Holder].At != At.Idle, w.Intent != 0 && Enumerable.Range(0, World.Client)
            .Any(actor => w[actor].Key == w.Intent && w[actor].At is At.Write or At.Publish or At.Commit));
        if (w is { Job: JobStatus.Running, IsExpired: false } && (!hasWorker || w.Misfortunes > 0))
        {
            yield return ("lease of the job runs out", w with { IsExpired = true, Misfortunes = w.Misfortunes - (hasWorker ? 1 : 0) });
        }

        if (w.Intent != 0 && (!hasWriter || w.Misfortunes > 0))
        {
            yield return ($"lease of the intent runs out, {Reclaim}", Dropped(w) with { Misfortunes = w.Misfortunes - (hasWriter ? 1 : 0) });
        }
    }

    public static string? ProblemOf(World w) => w switch
    {
        { Location: not 0 } when (w.Whole & (1 << w.Location)) == 0 => "a location without its bytes",
        { Attempt: > World.AttemptsMax + World.GiveUpsMax + 4 } => "a job that does not end",
        { Job: JobStatus.Failed, Location: not 0 } => "a job failed that is done",
        { IsAcknowledged: true, IsDeleted: false, Location: 0 } => "what was acknowledged is lost",
        _ => null,
    };

    public static bool IsSettled(World w) =>
        w.Job is not (JobStatus.Pending or JobStatus.Running) && w.Intent == 0 && w.Status != ImageStatus.Saving
        && (w.Whole | w.Half) == (w.Location == 0 ? 0 : 1 << w.Location) && w.HasDirectory == (w.Whole != 0);

    private IEnumerable<(string Step, World Next, At? Lost)> StepsOf(World w, int actor) => w[actor].At switch
    {
        At.Idle => actor switch { < World.Client => Take(w, actor), World.Client => Ask(w), _ => Look(w, actor) },
        At.Reclaim => [(Reclaim, Dropped(w).Move(actor, At.Begin), At.Fail)],
        At.Begin => [(Begin, Began(w, actor), At.Fail)],
        At.Write => [("write", Written(w, w[actor].Key).Move(actor, At.Publish), null)],
        At.Publish => [(Publish, Published(w, actor, 1 << w[actor].Key), null)],
        At.Commit => [(Commit, Committed(w, actor), At.Abandon)],
        At.Abandon => [(Abandon, (w.Intent == w[actor].Key ? Dropped(w) : w).Move(actor, At.Remove), After(actor))],
        At.Remove => [(Remove, w.Move(actor, !faults.HasFlag(Faults.Unfenced) && w.IsReferredTo(w[actor].Key)
            ? After(actor) : At.MoveAside), After(actor))],
        At.MoveAside => [($"{Delete}: move aside", Aside(w, 1 << w[actor].Key).Move(actor, At.Unlink), null)],
        At.Unlink => [($"{Delete}: unlink", (w with { Half = w.Half & ~(1 << w[actor].Key) })
            .Move(actor, w.HasDirectory && w.Whole == 0 ? At.UnlinkDirectory : After(actor)), null)],
        At.UnlinkDirectory => [($"{Delete}: unlink directory", (w with { HasDirectory = w.HasDirectory && w.Whole != 0 })
            .Move(actor, After(actor)), null)],
        At.Fail => [(nameof(JobQueue.FailAsync), Failed(w, actor), w.Work == Work.Upload ? null : At.Idle)],
        At.GiveUp => GivenUp(w, actor),
        At.Discard => [("discard the new image", (w is { Work: Work.Clone, Status: ImageStatus.Queued, IsProtected: false }
            ? w with { Status = ImageStatus.Deleted } : w).Move(actor, At.FindDone), At.FindDone)],
        At.FindDone => [("find done", w.Move(actor, w.Location != 0 && !faults.HasFlag(Faults.DoneUnseen)
            ? At.Complete : At.End), null)],
        At.End => [("end", Ended(w, actor, JobStatus.Failed), At.Idle)],
        At.Complete => [(nameof(JobQueue.CompleteAsync), Ended(w, actor, JobStatus.Succeeded), At.Idle)],
        _ => [],
    };

    // A worker gets the job when it waits, or when the lease of whoever has it has run out.
    private static IEnumerable<(string, World, At?)> Take(World w, int actor)
    {
        if (w.Job == JobStatus.Pending || w is { Job: JobStatus.Running, IsExpired: true })
        {
            var at = w.IsCancelled || w.Attempt >= World.AttemptsMax
                ? At.GiveUp
                : w.Work == Work.Clone ? At.Reclaim : At.Begin;
            yield return (Lease, (w with
            {
                Job = JobStatus.Running, Attempt = w.Attempt + 1, Holder = actor, IsExpired = false,
            }).Move(actor, at, attempt: w.Attempt + 1), At.Idle);
        }
    }

    private World Began(World w, int actor)
    {
        if (w.Work != Work.Upload && w.Status == ImageStatus.Deleted)
        {
            return w.Move(actor, At.GiveUp);
        }

        if (w.Work != Work.Upload && w.Location != 0)
        {
            return w.Move(actor, At.Complete);
        }

        var isHeld = w.Work == Work.Upload || (w.Holds(actor) && !w.IsExpired) || faults.HasFlag(Faults.BeginUnheld);
        if (!isHeld || (w.Work != Work.Copy && w.Status != ImageStatus.Queued))
        {
            return w.Move(actor, At.Fail);
        }

        var key = faults.HasFlag(Faults.OneKey) ? 1 : w.Generation + 1;
        return (w with
        {
            Generation = key, Intent = key, Status = w.Work == Work.Copy ? w.Status : ImageStatus.Saving,
        }).Move(actor, At.Write, key);
    }

    private World Written(World w, int key) => w with
    {
        Half = w.Half | (1 << key),
        Whole = faults.HasFlag(Faults.OneKey) ? w.Whole & ~(1 << key) : w.Whole,
    };

    private static World Published(World w, int actor, int bit) => (w.Half & bit) == 0
        ? w.Move(actor, At.Abandon) // deleted under its writer
        : (w with { Half = w.Half & ~bit, Whole = w.Whole | bit, HasDirectory = true }).Move(actor, At.Commit);

    private static World Committed(World w, int actor)
    {
        var key = w[actor].Key;
        var status = w.Work == Work.Copy ? ImageStatus.Active : ImageStatus.Saving;
        return w.Location == key ? w.Move(actor, At.Complete)
            : w.Intent == key && w.Status == status && w.Location == 0
                ? (w with { Location = key, Intent = 0, Status = ImageStatus.Active }).Move(actor, At.Complete)
                : w.Move(actor, At.Remove);
    }

    private static World Dropped(World w) =>
        w with { Intent = 0, Status = w.Status == ImageStatus.Saving ? ImageStatus.Queued : w.Status };

    private static World Aside(World w, int bit) => (w.Whole & bit) == 0
        ? w
        : w with { Whole = w.Whole & ~bit, Half = w.Half | bit };

    private static At After(int actor) => actor < World.Client ? At.Fail : At.Idle;

    private static World Failed(World w, int actor) => w.Work == Work.Upload
        ? w.Move(actor, At.Done)
        : !w.Holds(actor) ? w.Move(actor, At.Idle)
        : w.Attempt >= World.AttemptsMax || w.IsCancelled ? w.Move(actor, At.GiveUp)
        : (w with { Job = JobStatus.Pending }).Move(actor, At.Idle);

    private IEnumerable<(string, World, At?)> GivenUp(World w, int actor)
    {
        if (!w.Holds(actor))
        {
            yield return (nameof(JobQueue.RenewAsync), w.Move(actor, At.Idle), null);
            yield break;
        }

        var attemptsLeft = World.GiveUpsMax - (w.Attempt - World.AttemptsMax);
        if (faults.HasFlag(Faults.GiveUpForEver) && w.IsProtected)
        {
            yield return ("give up: refused", w.Move(actor, At.Idle), null);
            yield break;
        }

        if (attemptsLeft > 0) // the last one needs the database no more than the end of the job does
        {
            yield return ("give up: fails", (w with { Job = JobStatus.Pending }).Move(actor, At.Idle), null);
        }

        yield return ($"give up: {Reclaim}", (Dropped(w) with { IsExpired = false }).Move(actor, At.Discard), At.FindDone);
    }

    private static World Ended(World w, int actor, JobStatus status) => (w.Work == Work.Upload, w.Holds(actor)) switch
    {
        (true, _) => (w with { IsAcknowledged = true }).Move(actor, At.Done),
        (false, false) => w.Move(actor, At.Idle),
        _ => (w with { Job = status, IsAcknowledged = status == JobStatus.Succeeded }).Move(actor, At.Idle),
    };

    private static IEnumerable<(string, World, At?)> Ask(World w)
    {
        if (w[World.Client].Attempt == RequestsMax)
        {
            yield break;
        }

        var asked = w.Move(World.Client, At.Idle, attempt: w[World.Client].Attempt + 1);
        var next = w.Location == 0 ? At.Idle : At.Remove;
        if (w.Status != ImageStatus.Deleted && !w.IsProtected)
        {
            yield return (nameof(ImageEditor.DeleteAsync), (asked with
            {
                Status = ImageStatus.Deleted, Intent = 0, Location = 0, IsDeleted = true,
            }).Move(World.Client, next, w.Location), At.Idle);
        }

        if (w is { Work: Work.Copy, Location: not 0 })
        {
            yield return (nameof(ImageEditor.RemoveLocationAsync), (asked with { Location = 0, IsDeleted = true })
                .Move(World.Client, next, w.Location), At.Idle);
        }

        if (w.Job is JobStatus.Pending or JobStatus.Running)
        {
            yield return (nameof(JobQueue.CancelAsync), asked with { IsCancelled = true }, At.Idle);
        }

        if (w.Work == Work.Clone)
        {
            yield return (nameof(ImageEditor.ChangeAsync), asked with { IsProtected = true }, At.Idle);
        }
    }

    // A reaper and a scrub do the same: list, look at what refers to it, and remove it some time later.
    private IEnumerable<(string, World, At?)> Look(World w, int actor)
    {
        for (var key = 1; key <= w.Generation; key++)
        {
            if (((w.Whole | w.Half) & (1 << key)) != 0 && !w.IsReferredTo(key))
            {
                yield return (nameof(IBlobStore.ListAsync), w.Move(actor, At.Remove, key), null);
            }
        }

        if (w.HasDirectory && w.Whole == 0 && !faults.HasFlag(Faults.Untidy))
        {
            yield return (nameof(IBlobStore.TidyAsync), w with { HasDirectory = false }, null);
        }
    }
}
