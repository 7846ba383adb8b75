namespace Registry.Storage.Domain;

/// <content>What hangs on an image: tags, properties, members, locations.</content>
public sealed partial class Image
{
    private readonly List<ImageTag> _tags = [];
    private readonly List<ImageProperty> _properties = [];
    private readonly List<ImageMember> _members = [];
    private readonly List<ImageLocation> _locations = [];

    /// <summary>Tags; a set, in no order.</summary>
    public IReadOnlyCollection<ImageTag> Tags => _tags;

    /// <summary>Additional attributes; names are unique.</summary>
    public IReadOnlyCollection<ImageProperty> Properties => _properties;

    /// <summary>Projects it is shared with. Empty unless they were asked for when loading.</summary>
    public IReadOnlyCollection<ImageMember> Members => _members;

    /// <summary>Where its bytes are.</summary>
    public IReadOnlyCollection<ImageLocation> Locations => _locations;

    /// <summary>Adds a tag.</summary>
    /// <returns>False when it was there already.</returns>
    public bool AddTag(string value)
    {
        if (_tags.Exists(tag => tag.Value == value))
        {
            return false;
        }

        _tags.Add(new ImageTag(Id, value));
        return true;
    }

    /// <summary>Removes a tag.</summary>
    /// <returns>False when it was not there.</returns>
    public bool RemoveTag(string value) => _tags.RemoveAll(tag => tag.Value == value) > 0;

    /// <summary>Makes the tags exactly these; repeated ones count once.</summary>
    public void ReplaceTags(IEnumerable<string> values)
    {
        var wanted = values.ToHashSet(StringComparer.Ordinal);
        _tags.RemoveAll(tag => !wanted.Contains(tag.Value));
        foreach (var value in wanted)
        {
            AddTag(value);
        }
    }

    /// <summary>An additional attribute's value; null when there is none of that name.</summary>
    public string? FindProperty(string name) => _properties.Find(property => property.Name == name)?.Value;

    /// <summary>Sets an additional attribute, new or not.</summary>
    public void SetProperty(string name, string value)
    {
        if (_properties.Find(property => property.Name == name) is { } property)
        {
            property.Value = value;
            return;
        }

        _properties.Add(new ImageProperty(Id, name, value));
    }

    /// <summary>Removes an additional attribute.</summary>
    /// <returns>False when it was not there.</returns>
    public bool RemoveProperty(string name) => _properties.RemoveAll(property => property.Name == name) > 0;

    /// <summary>Shares the image with a project. Needs the members to be loaded.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: it is a member already.</exception>
    public ImageMember AddMember(string memberId, DateTimeOffset now)
    {
        if (_members.Exists(member => member.MemberId == memberId))
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"Image {Id} is already shared with project {memberId}.", reason: "member_exists");
        }

        var member = new ImageMember(Id, memberId, Timestamps.Stored(now));
        _members.Add(member);
        return member;
    }

    /// <summary>Ends sharing with a project. Needs the members to be loaded.</summary>
    /// <returns>False when it was no member.</returns>
    public bool RemoveMember(string memberId) => _members.RemoveAll(member => member.MemberId == memberId) > 0;

    /// <summary>Records where bytes are.</summary>
    internal void AddLocation(ImageLocation location) => _locations.Add(location);

    /// <summary>Records where the bytes are that the image came with.</summary>
    /// <param name="location">The bytes.</param>
    /// <param name="lastGeneration">The last generation under which bytes of the image may have been written.</param>
    internal void Adopt(ImageLocation location, long lastGeneration)
    {
        Generation = lastGeneration;
        AddLocation(location);
    }

    /// <summary>Forgets one of the places where bytes are.</summary>
    /// <param name="storeId">The store to forget.</param>
    /// <param name="isWhole">Whether another location was found in its store, complete, a moment ago.</param>
    /// <param name="now">The present.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: it is none of them.
    /// -or- <see cref="ErrorCode.InvalidStatusTransition"/>: the image is not active.
    /// -or- <see cref="ErrorCode.Forbidden"/>: it is the last.
    /// -or- <see cref="ErrorCode.Conflict"/>: no other location is known to be whole.</exception>
    public ImageLocation RemoveLocation(string storeId, Func<ImageLocation, bool> isWhole, DateTimeOffset now)
    {
        if (Status != ImageStatus.Active)
        {
            throw new RegistryException(
                ErrorCode.InvalidStatusTransition,
                $"Only an active image can be deleted from a store; this one is {ImageStatuses.Name(Status)}.");
        }

        // Whichever store is meant: clients are told first that nothing may be taken away.
        if (_locations is [var last])
        {
            throw new RegistryException(
                ErrorCode.Forbidden, $"Store '{last.StoreId}' has the only copy of image {Id}.", "last_location");
        }

        var location = _locations.Find(l => l.StoreId == storeId)
            ?? throw new RegistryException(ErrorCode.NotFound, $"Image {Id} is not in store '{storeId}'.");
        if (!_locations.Exists(other => other != location && other.DamagedAt is null && isWhole(other)))
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"No other copy of image {Id} is known to be whole: the one in store '{storeId}' stays.",
                "last_whole_location");
        }

        _locations.Remove(location);
        Touch(now);
        return location;
    }

    /// <summary>Fills in parts that were read apart from an untracked image.</summary>
    internal void Attach(ImageTag tag) => _tags.Add(tag);

    /// <inheritdoc cref="Attach(ImageTag)"/>
    internal void Attach(ImageProperty property) => _properties.Add(property);

    /// <inheritdoc cref="Attach(ImageTag)"/>
    internal void Attach(ImageMember member) => _members.Add(member);

    /// <inheritdoc cref="Attach(ImageTag)"/>
    internal void Attach(ImageLocation location) => _locations.Add(location);
}
