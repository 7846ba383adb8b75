namespace Registry.Engine.Disks;

/// <summary>A change to a disk image that cannot be made as asked: the image is fine and stays as it was.</summary>
/// <param name="message">One sentence for the user.</param>
public sealed class DiskOperationException(string message) : Exception(message);
