namespace Registry.Storage.Domain;

/// <summary>Work that outlives the request that asked for it, and the process that does it.</summary>
/// <remarks>A row that any replica may work on. It is changed by the statements of <see cref="Jobs.JobQueue"/> only, each
/// of which names the attempt it speaks for: a worker that lost its lease changes nothing any more.</remarks>
public sealed class Job
{
    // EF's way in.
    private Job(string kind, string input)
    {
        Kind = kind;
        Input = input;
    }

    /// <summary>Describes a new job.</summary>
    /// <param name="order">What is wanted.</param>
    /// <param name="now">The present, by the database's clock.</param>
    internal Job(JobOrder order, DateTimeOffset now)
        : this(order.Kind, order.Input)
    {
        Id = Guid.CreateVersion7(now);
        ImageId = order.ImageId;
        Owner = order.Owner;
        UserId = order.UserId;
        RequestId = order.RequestId;
        UniqueKey = order.UniqueKey;
        Secret = order.Secret;
        AttemptsMax = order.AttemptsMax;
        CreatedAt = Timestamps.Stored(now);
        UpdatedAt = CreatedAt;
        RunAfter = Timestamps.Stored(now + order.Delay);
    }

    /// <summary>Ascending with time.</summary>
    public Guid Id { get; private set; }

    /// <summary>What kind of work, a stable word.</summary>
    public string Kind { get; private set; }

    /// <summary>The image it works on; null for none in particular.</summary>
    public string? ImageId { get; private set; }

    /// <summary>The project that asked for it; null for the registry itself.</summary>
    public string? Owner { get; private set; }

    /// <summary>The user that asked for it; null for the registry itself.</summary>
    public string? UserId { get; private set; }

    /// <summary>The request that asked for it.</summary>
    public string? RequestId { get; private set; }

    /// <summary>Its parameters, JSON; which, the kind decides. Never holds a secret.</summary>
    public string Input { get; private set; }

    /// <summary>A secret that the work needs, sealed by whoever asked for it; null when there is none, and when the job
    /// has ended. Never shown.</summary>
    public string? Secret { get; private set; }

    /// <summary>Where it is in its life.</summary>
    public JobStatus Status { get; private set; } = JobStatus.Pending;

    /// <summary>What it came to, JSON; null until it has ended.</summary>
    public string? Result { get; private set; }

    /// <summary>What it is doing, a word; null before it began.</summary>
    public string? Step { get; private set; }

    /// <summary>How much is done, in <see cref="Total"/>'s unit, mostly bytes.</summary>
    public long Done { get; private set; }

    /// <summary>How much there is to do; null when unknown.</summary>
    public long? Total { get; private set; }

    /// <summary>Why the last attempt failed, a stable word; null when none did.</summary>
    public string? FailureCode { get; private set; }

    /// <summary>Why the last attempt failed, a sentence for the owner; null when none did.</summary>
    public string? Message { get; private set; }

    /// <summary>At most one job with the same key is pending or running; null for any number.</summary>
    public string? UniqueKey { get; private set; }

    /// <summary>Not to be begun before, UTC.</summary>
    public DateTimeOffset RunAfter { get; private set; }

    /// <summary>The worker that has it; null when none has.</summary>
    public string? LeaseOwner { get; private set; }

    /// <summary>When anybody may take it over, UTC, by the database's clock; null when nobody has it.</summary>
    public DateTimeOffset? LeaseUntil { get; private set; }

    /// <summary>When a worker last got it, UTC, by the database's clock; null before the first time.</summary>
    public DateTimeOffset? ClaimedAt { get; private set; }

    /// <summary>Number of the attempt under way or last made; 0 before the first. The fence: goes up whenever the job
    /// is handed out.</summary>
    public int Attempt { get; private set; }

    /// <summary>Attempts after which it is given up, 1 or more.</summary>
    public int AttemptsMax { get; private set; }

    /// <summary>Whether somebody wants it ended.</summary>
    public bool IsCancelRequested { get; private set; }

    /// <summary>When it was asked for, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When something about it last changed, UTC.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>When it ended, UTC; null while it has not.</summary>
    public DateTimeOffset? EndedAt { get; private set; }

    /// <summary>What a worker shows to prove that the job is still its own.</summary>
    public JobLease Lease => new(Id, LeaseOwner ?? "", Attempt);
}

/// <summary>What is wanted of a new job.</summary>
/// <param name="Kind">What kind of work, a stable word.</param>
/// <param name="Input">Its parameters, JSON, without secrets.</param>
public sealed record JobOrder(string Kind, string Input)
{
    /// <summary>As many attempts as it takes: for jobs that come back for ever.</summary>
    public const int Unlimited = int.MaxValue;

    /// <summary>The image it works on.</summary>
    public string? ImageId { get; init; }

    /// <summary>The project that asks.</summary>
    public string? Owner { get; init; }

    /// <summary>The user that asks.</summary>
    public string? UserId { get; init; }

    /// <summary>The request that asks.</summary>
    public string? RequestId { get; init; }

    /// <summary>At most one job with the same key is pending or running.</summary>
    public string? UniqueKey { get; init; }

    /// <summary>A secret that the work needs, sealed; it is forgotten when the job ends.</summary>
    public string? Secret { get; init; }

    /// <summary>Attempts after which it is given up, 1 or more; <see cref="Unlimited"/> for never.</summary>
    public int AttemptsMax { get; init; } = 5;

    /// <summary>How long to wait before the first attempt.</summary>
    public TimeSpan Delay { get; init; }
}

/// <summary>The right to work on a job, and its fence.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Owner">The worker.</param>
/// <param name="Attempt">The attempt.</param>
public readonly record struct JobLease(Guid JobId, string Owner, int Attempt);
