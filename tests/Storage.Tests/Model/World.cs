using Registry.Storage.Domain;

namespace Registry.Storage.Tests.Model;

/// <summary>What is written: an upload by requests, a copy by a job, or a new image by a job.</summary>
internal enum Work
{
    Upload,
    Copy,
    Clone,
}

/// <summary>Where an actor is in its program: the step that it takes next.</summary>
internal enum At
{
    Idle,
    Reclaim,
    Begin,
    Write,
    Publish,
    Commit,
    Abandon,
    Remove,
    MoveAside,
    Unlink,
    UnlinkDirectory,
    Fail,
    GiveUp,
    Discard,
    FindDone,
    End,
    Complete,
    Done,
}

/// <summary>A process that acts. It may be paused between any two steps: the others go on.</summary>
/// <param name="At">Its next step.</param>
/// <param name="Key">The generation that it writes or removes.</param>
/// <param name="Attempt">The attempt at the job that it was handed; of a client, the requests that it has made.</param>
internal readonly record struct Actor(At At, int Key, int Attempt);

/// <summary>What is wrong with a model on purpose: each must be found.</summary>
[Flags]
internal enum Faults
{
    None = 0,

    /// <summary>All attempts at a copy write under one key, after a deletion of what is there.</summary>
    OneKey = 1,

    /// <summary>Blobs are deleted without a look at what refers to them.</summary>
    Unfenced = 2,

    /// <summary>An attempt begins to write whether or not it still has its job.</summary>
    BeginUnheld = 4,

    /// <summary>A clean-up that fails leaves the job to the next worker.</summary>
    GiveUpForEver = 8,

    /// <summary>Empty directories are not removed by the reaper.</summary>
    Untidy = 16,

    /// <summary>A job is given up without a look whether it is done.</summary>
    DoneUnseen = 32,
}

/// <summary>A state of the registry: one image, one store that gets its bytes, and those who work on it.</summary>
internal readonly record struct World(Work Work)
{
    public const int AttemptsMax = 2;
    public const int GiveUpsMax = 1;
    public const int Client = 2;
    public const int Actors = 5; // two workers, a client, a reaper, a scrub

    public ImageStatus Status { get; init; }
    public bool IsProtected { get; init; }
    public int Generation { get; init; }
    public int Intent { get; init; } // the generation that is promised; 0 for none
    public int Location { get; init; } // the generation that the image has in the store; 0 for none
    public int Whole { get; init; } // bit per generation: committed in the store
    public int Half { get; init; } // bit per generation: half written or half removed
    public bool HasDirectory { get; init; }
    public JobStatus Job { get; init; }
    public int Attempt { get; init; }
    public int Holder { get; init; }
    public bool IsExpired { get; init; }
    public bool IsCancelled { get; init; }
    public bool IsAcknowledged { get; init; }
    public bool IsDeleted { get; init; } // a client asked for it
    public int Misfortunes { get; init; } // crashes, lost answers and pauses longer than a lease that may still happen
    public Actor First { get; init; }
    public Actor Second { get; init; }
    public Actor Third { get; init; }
    public Actor Fourth { get; init; }
    public Actor Fifth { get; init; }

    public Actor this[int actor] => actor switch { 0 => First, 1 => Second, 2 => Third, 3 => Fourth, _ => Fifth };

    public World Move(int actor, At at, int? key = null, int? attempt = null)
    {
        var (keyNow, attemptNow) = (key ?? this[actor].Key, attempt ?? this[actor].Attempt);
        return Put(actor, at is At.Idle or At.Done
            ? new Actor(at, Key: 0, actor == Client ? attemptNow : 0)
            : new Actor(at, keyNow, attemptNow));
    }

    public bool Holds(int actor) =>
        Job == JobStatus.Running && Holder == actor && Attempt == this[actor].Attempt;

    public bool IsReferredTo(int key) => Intent == key || Location == key;

    /// <summary>The same state where actors that do the same are in order: which of them is where makes no difference.
    /// </summary>
    public World InOrder()
    {
        var world = Compare(Fourth, Fifth) <= 0 ? this : this with { Fourth = Fifth, Fifth = Fourth };
        return Compare(First, Second) <= 0
            ? world
            : world with { First = Second, Second = First, Holder = 1 - Holder };
    }

    private static int Compare(Actor one, Actor other) =>
        (one.At, one.Key, one.Attempt).CompareTo((other.At, other.Key, other.Attempt));

    private World Put(int actor, Actor value) => actor switch
    {
        0 => this with { First = value },
        1 => this with { Second = value },
        2 => this with { Third = value },
        3 => this with { Fourth = value },
        _ => this with { Fifth = value },
    };
}
