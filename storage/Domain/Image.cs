namespace Registry.Storage.Domain;

/// <summary>An image as the registry remembers it.</summary>
/// <remarks>Simple attributes that users edit are plain setters; lengths and ranges are checked where requests come in.
/// Everything that has a rule is a verb. A status changes only through <see cref="ImageStatuses"/>' table.</remarks>
public sealed partial class Image
{
    /// <summary>Name of the attribute that an image has whose disk is itself a disk image that refers to another file. Only
    /// the registry sets it.</summary>
    public const string NestedReference = "os_glance_nested_reference";

    private Image(string id, string? owner, DateTimeOffset createdAt)
    {
        Id = id;
        Owner = owner;
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>A UUID, kept verbatim as the client wrote it: case-sensitive, and never used again.</summary>
    public string Id { get; private set; }

    /// <summary>Name for people, at most 255 characters; need not be unique.</summary>
    public string? Name { get; set; }

    /// <summary>Where it is in its life.</summary>
    public ImageStatus Status { get; private set; } = ImageStatus.Queued;

    /// <summary>Who may see it.</summary>
    public ImageVisibility Visibility { get; set; } = ImageVisibility.Shared;

    /// <summary>The owning project; null is nobody's: everybody may see it, administrators may change it.</summary>
    public string? Owner { get; set; }

    /// <summary>Format of the disk inside, such as <c>qcow2</c>; null until it is said.</summary>
    public string? DiskFormat { get; set; }

    /// <summary>Format of the envelope, such as <c>bare</c>; null until it is said.</summary>
    public string? ContainerFormat { get; set; }

    /// <summary>Stored bytes; null before there are any.</summary>
    public long? Size { get; private set; }

    /// <summary>Size in bytes of the disk inside; null when unknown.</summary>
    public long? VirtualSize { get; private set; }

    /// <summary>Smallest disk in GiB an instance needs, 0 or more.</summary>
    public int MinDisk { get; set; }

    /// <summary>Smallest memory in MiB an instance needs, 0 or more.</summary>
    public int MinRam { get; set; }

    /// <summary>Whether deletion is refused.</summary>
    public bool IsProtected { get; set; }

    /// <summary>Whether it is left out of lists unless asked for.</summary>
    public bool IsHidden { get; set; }

    /// <summary>MD5 of the bytes, lower-case hex; null before there are any.</summary>
    public string? Checksum { get; private set; }

    /// <summary>Algorithm of <see cref="HashValue"/>.</summary>
    public string? HashAlgorithm { get; private set; }

    /// <summary>Secure hash of the bytes, lower-case hex; null before there are any.</summary>
    public string? HashValue { get; private set; }

    /// <summary>When it was registered, UTC, whole microseconds.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When it last changed, UTC, whole microseconds.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>When it was deleted, UTC; null while it lives.</summary>
    public DateTimeOffset? DeletedAt { get; private set; }

    /// <summary>Goes up with every saved change; a save that started from an older one fails.</summary>
    public long Revision { get; private set; } = 1;

    /// <summary>Number of the last attempt to write bytes of the image, whether upload, import or copy; 0 before the
    /// first.</summary>
    public long Generation { get; private set; }

    /// <summary>Why the last upload was refused, as a stable word; null when it was not.</summary>
    public string? FailureCode { get; private set; }

    /// <summary>Why the last upload was refused, in a sentence for the owner; null when it was not.</summary>
    public string? FailureReason { get; private set; }

    /// <summary>Registers an image: queued, shared, without bytes.</summary>
    /// <param name="id">A canonical dashed UUID in any case, kept verbatim.</param>
    /// <param name="owner">The owning project; null is nobody's.</param>
    /// <param name="now">The present.</param>
    /// <exception cref="ArgumentException">The id is no canonical UUID.</exception>
    public static Image Create(string id, string? owner, DateTimeOffset now)
    {
        if (!Blobs.BlobLayout.IsCanonicalId(id))
        {
            throw new ArgumentException($"'{id}' is no canonical UUID.", nameof(id));
        }

        return new Image(id, owner, Timestamps.Stored(now));
    }

    /// <summary>Starts an upload: saving, under a new generation. Forgets why the one before was refused.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: it is not
    /// queued.</exception>
    public void BeginUpload(DateTimeOffset now)
    {
        MoveTo(ImageStatus.Saving);
        Generation++;
        FailureCode = null;
        FailureReason = null;
        Touch(now);
    }

    /// <summary>Starts to stage bytes for a later import: uploading, under a new generation. Forgets why the attempt
    /// before was refused.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: it is not
    /// queued.</exception>
    public void BeginStaging(DateTimeOffset now)
    {
        MoveTo(ImageStatus.Uploading);
        Generation++;
        FailureCode = null;
        FailureReason = null;
        Touch(now);
    }

    /// <summary>Starts to write bytes on behalf of the import under way, under a new generation.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Fenced"/>: it is not importing (any more).</exception>
    public void BeginImportedBytes()
    {
        if (Status != ImageStatus.Importing)
        {
            throw new RegistryException(
                ErrorCode.Fenced, $"Image {Id} is {ImageStatuses.Name(Status)}: its import is over.");
        }

        Generation++;
    }

    /// <summary>Reserves a generation for a copy of the image's bytes.</summary>
    /// <returns>The generation, which no other attempt has or will have.</returns>
    public long ReserveGeneration() => ++Generation;

    /// <summary>Records how many bytes are staged.</summary>
    public void RecordStaged(long size, DateTimeOffset now)
    {
        Size = size;
        Touch(now);
    }

    /// <summary>Hands the image to an import: importing.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: it has bytes already, or is
    /// getting some.</exception>
    public void BeginImport(DateTimeOffset now)
    {
        MoveTo(ImageStatus.Importing);
        FailureCode = null;
        FailureReason = null;
        Touch(now);
    }

    /// <summary>Completes an upload: active, with what is known of its bytes.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: nothing was being uploaded.
    /// -or- <see cref="ErrorCode.BadRequest"/>: a format was never said.</exception>
    public void Activate(UploadResult result, DateTimeOffset now)
    {
        ImageStatuses.Require(Status, ImageStatus.Active);
        DiskFormat = result.DiskFormat ?? DiskFormat;
        ContainerFormat = result.ContainerFormat ?? ContainerFormat;
        RequireFormats();
        MoveTo(ImageStatus.Active);
        Size = result.Size;
        VirtualSize = result.VirtualSize;
        Checksum = result.Checksum;
        HashAlgorithm = result.HashAlgorithm;
        HashValue = result.HashValue;
        if (result.NestedReference is { } nested)
        {
            SetProperty(NestedReference, nested);
        }

        Touch(now);
    }

    /// <summary>Gives an upload up: queued, as if it had not been, but for the reason.</summary>
    /// <param name="code">A stable word.</param>
    /// <param name="reason">A sentence for the owner.</param>
    /// <param name="now">The present.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.InvalidStatusTransition"/>: nothing was being uploaded.
    /// </exception>
    public void AbandonUpload(string code, string reason, DateTimeOffset now)
    {
        MoveTo(ImageStatus.Queued);
        Size = null;
        VirtualSize = null;
        FailureCode = code;
        FailureReason = reason;
        Touch(now);
    }

    /// <summary>Withholds the bytes from everybody but administrators. Doing it twice is no error.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Forbidden"/>: it is not active.</exception>
    public void Deactivate(DateTimeOffset now) =>
        Toggle(from: ImageStatus.Active, to: ImageStatus.Deactivated, verb: "deactivate", now);

    /// <summary>Hands the bytes out again. Doing it twice is no error.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Forbidden"/>: it is not deactivated.</exception>
    public void Reactivate(DateTimeOffset now) =>
        Toggle(from: ImageStatus.Deactivated, to: ImageStatus.Active, verb: "reactivate", now);

    /// <summary>Turns the image into a tombstone.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Protected"/>: it is protected.
    /// -or- <see cref="ErrorCode.InvalidStatusTransition"/>: it is deleted already.</exception>
    public void Delete(DateTimeOffset now)
    {
        if (IsProtected)
        {
            throw new RegistryException(ErrorCode.Protected, $"Image {Id} is protected and cannot be deleted.");
        }

        MoveTo(ImageStatus.Deleted);
        Touch(now);
        DeletedAt = UpdatedAt;
        _tags.Clear();
        _properties.Clear();
        _members.Clear();
        _locations.Clear();
    }

    /// <summary>Records that something changed.</summary>
    public void Touch(DateTimeOffset now)
    {
        var stored = Timestamps.Stored(now);
        UpdatedAt = stored > CreatedAt ? stored : CreatedAt;
    }

    /// <summary>Passes when both formats are said, which bytes need.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.BadRequest"/>: one is not.</exception>
    public void RequireFormats()
    {
        var missing = (DiskFormat, ContainerFormat) switch
        {
            (null, null) => "Properties disk_format, container_format",
            (null, _) => "Property disk_format",
            (_, null) => "Property container_format",
            _ => null,
        };
        if (missing is not null)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"{missing} must be set prior to saving data.", reason: "format_missing");
        }
    }

    private void Toggle(ImageStatus from, ImageStatus to, string verb, DateTimeOffset now)
    {
        if (Status == to)
        {
            return;
        }

        if (Status != from)
        {
            throw new RegistryException(
                ErrorCode.Forbidden, $"Not allowed to {verb} image in status '{ImageStatuses.Name(Status)}'");
        }

        MoveTo(to);
        Touch(now);
    }

    private void MoveTo(ImageStatus status)
    {
        ImageStatuses.Require(Status, status);
        Status = status;
    }
}
