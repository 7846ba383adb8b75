using System.Globalization;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>What a patch does to an image's locations (spec/glance-v2.md, 4.1).</summary>
/// <remarks>Read once, applied to a fresh image as often as the change is repeated: what it came to is that of the last
/// time.</remarks>
internal sealed class LocationEdits
{
    private readonly Caller _caller;
    private readonly PolicyEngine _policy;
    private readonly TimeProvider _clock;
    private readonly int _locationsMax;
    private readonly Dictionary<IReadOnlyList<string>, IReadOnlyList<NewLocation>> _given =
        new(ReferenceEqualityComparer.Instance); // every operation has a path of its own

    /// <summary>Reads a patch.</summary>
    /// <exception cref="RegistryException">BadRequest for malformed locations, Conflict for their validation
    /// data.</exception>
    public LocationEdits(
        Caller caller, ImagePatch patch, PolicyEngine policy, TimeProvider clock, LimitsSection limits)
    {
        (_caller, _policy, _clock, _locationsMax) = (caller, policy, clock, limits.Locations);
        foreach (var operation in patch.Operations.Where(IsAboutLocations))
        {
            _given[operation.Path] = operation.Kind switch
            {
                PatchOperationKind.Add => [NewLocation.ReadPatch(operation.Value)],
                PatchOperationKind.Replace => [.. operation.Value.EnumerateArray().Select(NewLocation.ReadPatch)],
                _ => [],
            };
        }
    }

    /// <summary>How clients know a place; see <see cref="LocationViews"/>.</summary>
    public required Func<ImageLocation, string> UrlOf { get; init; }

    /// <summary>Whether a location was found in its store, complete, a moment ago.</summary>
    public required Func<ImageLocation, bool> IsWhole { get; init; }

    /// <summary>The locations that the patch names, whatever comes of it.</summary>
    public IEnumerable<NewLocation> Named => _given.Values.SelectMany(given => given);

    /// <summary>The location that the image is to get its bytes from; null when there is none.</summary>
    public NewLocation? Added { get; private set; }

    /// <summary>The blobs that are garbage once the change is saved.</summary>
    public List<ImageLocation> Removed { get; } = [];

    /// <summary>Whether an operation is about locations.</summary>
    public static bool IsAboutLocations(PatchOperation operation) => operation.Path[0] == "locations";

    /// <summary>Whether a patch removes locations.</summary>
    public static bool Removes(ImagePatch patch) => patch.Operations.Any(
        operation => IsAboutLocations(operation) && operation.Kind == PatchOperationKind.Remove);

    /// <summary>An image's locations in the order in which clients see and count them.</summary>
    public static IReadOnlyList<ImageLocation> InOrder(Image image) =>
        [.. image.Locations.OrderBy(l => l.CreatedAt).ThenBy(l => l.StoreId, StringComparer.Ordinal)];

    /// <summary>Forgets what came of the edits when they were applied before.</summary>
    public void Begin()
    {
        Added = null;
        Removed.Clear();
    }

    /// <summary>Applies one of the patch's operations.</summary>
    /// <exception cref="RegistryException">BadRequest for a position that is none, Forbidden, Conflict for the image's
    /// status, TooLarge for too many.</exception>
    public void Apply(Image image, PatchOperation operation)
    {
        switch (operation.Kind)
        {
            case PatchOperationKind.Add:
                _policy.Require(_caller, "set_image_location", image);
                Add(image, operation.Path[1], _given[operation.Path][0]);
                break;
            case PatchOperationKind.Replace:
                _policy.Require(_caller, "set_image_location", image);
                Replace(image, _given[operation.Path]);
                break;
            default:
                _policy.Require(_caller, "delete_image_location", image);
                Remove(image, operation.Path[1]);
                break;
        }
    }

    private void Add(Image image, string position, NewLocation location)
    {
        RequireStatus(image, "add");
        var count = image.Locations.Count + (Added is null ? 0 : 1);
        if (position != "-" && !(TryRead(position, out var index) && index <= count))
        {
            throw ImageRules.Bad("Invalid position for adding a location.");
        }

        ImageRules.RequireCount("locations", count + 1, _locationsMax);
        if (image.Locations.Any(l => l.Url == location.Url) || Added?.Url == location.Url)
        {
            throw ImageRules.Bad("The image has this location already.");
        }

        if (image.Status == ImageStatus.Active)
        {
            RequireSame(image, location);
        }

        if (image.Status == ImageStatus.Active || Added is not null)
        {
            throw new RegistryException(
                ErrorCode.Conflict, "The image has its bytes; further copies of them are made by importing with copy-image.",
                "has_data");
        }

        image.RequireFormats();
        Added = location;
    }

    private void Replace(Image image, IReadOnlyList<NewLocation> given)
    {
        RequireStatus(image, "replace");
        if (given.Count == 0)
        {
            throw new RegistryException(ErrorCode.Forbidden, "Cannot set locations to empty list.", "last_location");
        }

        ImageRules.RequireCount("locations", given.Count, _locationsMax);
        if (given.DistinctBy(location => location.Url).Count() != given.Count)
        {
            throw ImageRules.Bad("A location is given twice.");
        }

        if (image.Locations.Count == 0)
        {
            foreach (var location in given)
            {
                Add(image, "-", location);
            }

            return;
        }

        // Of places that there are, only what is noted about them changes.
        var urls = image.Locations.ToDictionary(UrlOf, location => location);
        if (urls.Count != given.Count || given.Any(location => !urls.ContainsKey(location.Url)))
        {
            throw ImageRules.Bad("Original locations is not empty: they cannot be replaced by others.");
        }

        foreach (var location in given)
        {
            RequireSame(image, location);
            urls[location.Url].Describe(url: null, location.Metadata);
        }
    }

    private void Remove(Image image, string position)
    {
        if (image.Status != ImageStatus.Active)
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"It's not allowed to remove locations if image status is {ImageStatuses.Name(image.Status)}.");
        }

        var locations = InOrder(image);
        if (locations.Count == 1)
        {
            throw new RegistryException(ErrorCode.Forbidden, "Cannot remove last location in the image.", "last_location");
        }

        var index = position == "-" ? locations.Count - 1 : TryRead(position, out var given) ? given : -1;
        if (index < 0 || index >= locations.Count)
        {
            throw ImageRules.Bad("Invalid position for removing a location.");
        }

        Removed.Add(image.RemoveLocation(locations[index].StoreId, IsWhole, _clock.GetUtcNow()));
    }

    private static void RequireSame(Image image, NewLocation location)
    {
        if ((location.Hash is not null && location.Hash != image.HashValue)
            || (location.Checksum is not null && location.Checksum != image.Checksum))
        {
            throw NewLocation.Conflict("The validation data is not that of the image's bytes.");
        }
    }

    private static void RequireStatus(Image image, string verb)
    {
        if (image.Status is not (ImageStatus.Queued or ImageStatus.Active))
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"It's not allowed to {verb} locations if image status is {ImageStatuses.Name(image.Status)}.");
        }
    }

    private static bool TryRead(string position, out int index) =>
        int.TryParse(position, NumberStyles.None, CultureInfo.InvariantCulture, out index);
}
