using System.Net;
using System.Runtime.CompilerServices;
using Registry.Api.ImageData;
using Registry.Api.Import;
using Registry.Api.Locations;
using Registry.Api.Outbound;
using Registry.Storage.Domain;

namespace Registry.Api.Cli;

/// <summary>What became of an image of the source, or would.</summary>
internal enum Replicated
{
    /// <summary>The target has it just so.</summary>
    Same,

    /// <summary>The target had its bytes, and says now what the source says.</summary>
    Changed,

    /// <summary>The target has it now.</summary>
    Copied,

    /// <summary>It could not be done.</summary>
    Left,

    /// <summary>The source has no bytes of it.</summary>
    Passed,
}

/// <summary>One image of a replication.</summary>
/// <param name="Id">Its id on both sides.</param>
/// <param name="Name">Its name; null for none.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Bytes">Bytes that were copied, or would be.</param>
/// <param name="Differences">What the target said otherwise.</param>
/// <param name="Reason">Why it was left or passed; else null.</param>
internal sealed record ReplicaLine(
    string Id, string? Name, Replicated Outcome, long Bytes, IReadOnlyList<string> Differences, string? Reason);

/// <summary>Makes one server of the Image API have what another has: the same ids, metadata and bytes.</summary>
/// <remarks>What is there is passed over, and an image whose upload was cut short is queued on the target and taken up by
/// the next run. The bytes are compared with the source's hash before the last of them is sent, and with the target's
/// when it has them. Nothing is changed on the source, and nothing is removed from the target.</remarks>
/// <param name="from">The source.</param>
/// <param name="to">The target.</param>
/// <param name="isRehearsal">Whether nothing is changed.</param>
/// <param name="withOwner">Whether images keep their owners, which administrators may do.</param>
/// <param name="progress">Hears of bytes that have come.</param>
internal sealed class Replicator(
    ImageApi from, ImageApi to, bool isRehearsal, bool withOwner, Action<long> progress)
{
    private const string PatchType = "application/openstack-images-v2.1-json-patch";
    private const int UploadsMax = 3;

    private readonly ReplicaMembers _members = new(from, to);

    /// <summary>Replicates images, one after the other.</summary>
    /// <param name="named">Ids or names; none for all that the source shows.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="CommandException">A name that is none, or more than one image's.</exception>
    /// <exception cref="ImageApiException">The source does not tell its images.</exception>
    public async IAsyncEnumerable<ReplicaLine> RunAsync(
        IReadOnlyList<string> named, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var image in named.Count > 0
            ? NamedAsync(named, cancellationToken)
            : AllAsync(cancellationToken))
        {
            yield return await RunAsync(image, cancellationToken);
        }
    }

    private async Task<ReplicaLine> RunAsync(ReplicaImage source, CancellationToken cancellationToken)
    {
        if (source.Status != "active")
        {
            return new ReplicaLine(source.Id, source.Name, Replicated.Passed, 0, [], $"it is {source.Status} on the source");
        }

        try
        {
            var target = await FindAsync(to, source.Id, cancellationToken);
            var line = target?.Status is "active" or "deactivated"
                ? await ChangeAsync(source, target, cancellationToken)
                : await CopyAsync(source, target, cancellationToken);
            return await ShareAsync(source, target, line, cancellationToken);
        }
        catch (Exception e) when (Reason(e) is { } reason && !cancellationToken.IsCancellationRequested)
        {
            return new ReplicaLine(source.Id, source.Name, Replicated.Left, 0, [], reason);
        }
    }

    private async Task<ReplicaLine> ChangeAsync(
        ReplicaImage source, ReplicaImage target, CancellationToken cancellationToken)
    {
        if (!source.HasBytesOf(target))
        {
            throw new CommandException("the target has other bytes under this id");
        }

        var differences = source.DifferencesTo(target);
        if (differences.Count > 0 && !isRehearsal)
        {
            await PatchAsync(source, differences, cancellationToken);
        }

        var outcome = differences.Count > 0 ? Replicated.Changed : Replicated.Same;
        return new ReplicaLine(source.Id, source.Name, outcome, 0, differences, null);
    }

    private async Task<ReplicaLine> CopyAsync(
        ReplicaImage source, ReplicaImage? target, CancellationToken cancellationToken)
    {
        if (target is not (null or { Status: "queued" }))
        {
            throw new CommandException($"it is {target.Status} on the target");
        }

        var line = new ReplicaLine(source.Id, source.Name, Replicated.Copied, source.Size ?? 0, [], null);
        if (isRehearsal)
        {
            return line;
        }

        if (target is null)
        {
            await to.SendJsonAsync(HttpMethod.Post, "v2/images", source.ToCreate(), cancellationToken);
        }
        else if (source.DifferencesTo(target).Where(name => name != "protected").ToList() is { Count: > 0 } differences)
        {
            await PatchAsync(source, differences, cancellationToken);
        }

        await UploadAsync(source, cancellationToken);
        var copy = await FindAsync(to, source.Id, cancellationToken);
        if (copy?.Status != "active" || !source.HasBytesOf(copy))
        {
            throw new CommandException("the target does not have the bytes that it was sent");
        }

        if (source.IsProtected)
        {
            await PatchAsync(source, ["protected"], cancellationToken);
        }

        return line;
    }

    // Who is to be a member is told once the image says all that it should: only one that is shared has members.
    private async Task<ReplicaLine> ShareAsync(
        ReplicaImage source, ReplicaImage? target, ReplicaLine line, CancellationToken cancellationToken)
    {
        try
        {
            target = isRehearsal ? target : await FindAsync(to, source.Id, cancellationToken);
            var missing = target?.IsShared == true
                ? await _members.MissingAsync(source, target, cancellationToken)
                : [];
            foreach (var member in isRehearsal ? [] : missing)
            {
                await _members.AddAsync(source.Id, member, cancellationToken);
            }

            return missing.Count == 0 || line.Outcome == Replicated.Copied
                ? line
                : line with { Outcome = Replicated.Changed, Differences = [.. line.Differences, "members"] };
        }
        catch (Exception e) when (Reason(e) is { } reason && !cancellationToken.IsCancellationRequested)
        {
            return line with { Outcome = Replicated.Left, Reason = $"its members: {reason}" };
        }
    }

    // A download that breaks off is taken up where it broke; of an upload there is only all or nothing.
    private async Task UploadAsync(ReplicaImage source, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var download = await WebDownload.OpenAsync(
                    new DownloadSource((range, _, stop) => from.OpenFileAsync(source.Id, range, stop), IsImmutable: true),
                    new OutboundSection(), TimeProvider.System, progress, cancellationToken);
                using var body = CheckedBody.OfImage(download, source.Checksum, source.Algorithm, source.Hash);
                await using var bytes = new BodyStream(body);
                var sha512 = source.Algorithm == "sha512" ? source.Hash : null;
                await to.SendBytesAsync($"v2/images/{source.Id}/file", bytes, source.Size, sha512, cancellationToken);
                return;
            }
            catch (HttpRequestException e) when (e.InnerException is RegistryException refusal)
            {
                throw refusal; // of the source, met while sending
            }
            catch (Exception e) when (attempt < UploadsMax && MayPass(e))
            {
                await Task.Delay(TimeSpan.FromSeconds(attempt), cancellationToken);
            }
        }
    }

    private static bool MayPass(Exception exception) => exception is HttpRequestException
        or ImageApiException { Status: HttpStatusCode.ServiceUnavailable or HttpStatusCode.BadGateway }
        or ImageApiException { Code: BlobIntake.DamagedOnTheWay };

    private async Task PatchAsync(
        ReplicaImage source, IEnumerable<string> differences, CancellationToken cancellationToken) =>
        await to.SendJsonAsync(
            HttpMethod.Patch, $"v2/images/{source.Id}", source.ToPatch(differences), cancellationToken, PatchType);

    private async Task<ReplicaImage?> FindAsync(ImageApi api, string id, CancellationToken cancellationToken) =>
        await api.FindAsync($"v2/images/{Uri.EscapeDataString(id)}", cancellationToken) is { } found
            ? new ReplicaImage(found, withOwner)
            : null;

    // Hidden ones are in no list unless it is theirs.
    private async IAsyncEnumerable<ReplicaImage> AllAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var hidden in new[] { "false", "true" })
        {
            await foreach (var image in from.ListAsync(
                $"v2/images?limit=100&sort_key=created_at&sort_dir=asc&os_hidden={hidden}", "images", cancellationToken))
            {
                yield return new ReplicaImage(image, withOwner);
            }
        }
    }

    private async IAsyncEnumerable<ReplicaImage> NamedAsync(
        IReadOnlyList<string> named, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var name in named)
        {
            if (Guid.TryParseExact(name, "D", out _))
            {
                yield return await FindAsync(from, name, cancellationToken)
                    ?? throw new CommandException($"{from.Name} has no image '{name}'.");
                continue;
            }

            var found = new List<ReplicaImage>();
            await foreach (var image in from.ListAsync(
                $"v2/images?limit=2&name={Uri.EscapeDataString(name)}", "images", cancellationToken))
            {
                found.Add(new ReplicaImage(image, withOwner));
            }

            yield return found is [var only]
                ? only
                : throw new CommandException($"{from.Name} has {found.Count} images called '{name}'; name it by its id.");
        }
    }

    private static string? Reason(Exception exception) => exception switch
    {
        HttpRequestException { InnerException: { } inner } => inner.Message,
        CommandException or ImageApiException or RegistryException or HttpRequestException or IOException
            or TimeoutException => exception.Message,
        _ => null,
    };
}
