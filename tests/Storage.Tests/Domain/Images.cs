using Registry.Storage.Domain;

namespace Registry.Storage.Tests.Domain;

/// <summary>Images to test with.</summary>
internal static class Images
{
    public static readonly DateTimeOffset Now = new(2026, 11, 5, 12, 0, 0, TimeSpan.Zero);

    public static string NewId() => Guid.NewGuid().ToString();

    public static Image Queued(string owner = "p")
    {
        var image = Image.Create(NewId(), owner, Now);
        image.DiskFormat = "qcow2";
        image.ContainerFormat = "bare";
        return image;
    }

    public static Image Active(string owner = "p", long size = 3, long? virtualSize = 10, string checksum = "c")
    {
        var image = Queued(owner);
        image.BeginUpload(Now);
        image.Activate(Result() with { Size = size, VirtualSize = virtualSize, Checksum = checksum }, Now);
        return image;
    }

    public static UploadResult Result() => new()
    {
        Size = 3,
        VirtualSize = 10,
        Checksum = "c",
        HashAlgorithm = "sha512",
        HashValue = "h",
        IndexLength = 68,
        IndexDigest = new byte[32],
    };
}
