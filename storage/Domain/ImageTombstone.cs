namespace Registry.Storage.Domain;

/// <summary>What is left for ever of an image that was deleted and purged: its id, which no other image gets.</summary>
/// <param name="Id">The image's id.</param>
/// <param name="DeletedAt">When the image was deleted, UTC.</param>
public sealed record ImageTombstone(string Id, DateTimeOffset DeletedAt);
