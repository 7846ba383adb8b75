namespace Registry.Storage.Blobs.Remote;

/// <summary>A distant store has other bytes than were sent to it: a bit flipped on the way, or in the store.</summary>
internal sealed class DamagedWriteException() : IOException("stored other bytes than were sent");
