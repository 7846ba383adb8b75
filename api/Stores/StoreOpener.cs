using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Registry.Api.Memory;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;

namespace Registry.Api.Stores;

/// <summary>Makes stores from their settings.</summary>
public sealed class StoreOpener(ProcessMemory memory, TimeProvider time, ILoggerFactory loggers)
{
    // A sixteenth of what uploads may hold: a few run at full speed, and a small container still takes several.
    private const int SegmentShare = 16;
    private const int SegmentBytesLeast = 2 << 20;

    private const int SecretBytesMax = 4096;

    /// <summary>Makes a store. Reads the files that the settings name; sends nothing yet.</summary>
    /// <exception cref="ConfigurationException">A file or directory cannot be used.</exception>
    public IBlobStore Open(StoreSection section)
    {
        try
        {
            return section.Kind switch
            {
                "s3" => new S3BlobStore(section.Id, OptionsOf(section), time, loggers.CreateLogger<S3BlobStore>()),
                "http" => new HttpBlobStore(
                    section.Id,
                    new Uri(section.Endpoint),
                    Authorities(section),
                    new StorePatience(section.Silence, section.Deadline),
                    time,
                    loggers.CreateLogger<HttpBlobStore>()),
                _ => new DirectoryBlobStore(section.Id, section.Path, loggers.CreateLogger<DirectoryBlobStore>()),
            };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new ConfigurationException($"Registry:Stores: store '{section.Id}' cannot be opened: {e.Message}");
        }
    }

    private S3Options OptionsOf(StoreSection section) => new()
    {
        Memory = memory.Uploads,
        SegmentBytes = SegmentBytes(memory.Uploads.Bytes),
        Endpoint = new Uri(section.Endpoint),
        Region = section.Region,
        Bucket = section.Bucket,
        Prefix = section.Prefix.Length == 0 || section.Prefix.EndsWith('/') ? section.Prefix : section.Prefix + "/",
        AccessKey = Secret(section, section.AccessKey, section.AccessKeyFile),
        SecretKey = Secret(section, section.SecretKey, section.SecretKeyFile),
        CreateBucket = section.CreateBucket,
        VerifiesUnconfirmedWrites = section.UnconfirmedWrites == "verify",
        Authorities = Authorities(section),
        Patience = new StorePatience(section.Silence, section.Deadline),
    };

    private static int SegmentBytes(long uploadBytes) => (int)Math.Clamp(
        uploadBytes / SegmentShare / SegmentBytesLeast * SegmentBytesLeast, SegmentBytesLeast,
        S3Options.DefaultSegmentBytes);

    private static string Secret(StoreSection section, string value, string file)
    {
        if (file.Length == 0)
        {
            return value;
        }

        if (new FileInfo(file).Length > SecretBytesMax)
        {
            throw new ConfigurationException($"Registry:Stores: '{file}' of store '{section.Id}' is too long for a key.");
        }

        var text = File.ReadAllText(file).Trim();
        return text.Length > 0
            ? text
            : throw new ConfigurationException($"Registry:Stores: '{file}' of store '{section.Id}' is empty.");
    }

    private static X509Certificate2Collection? Authorities(StoreSection section)
    {
        if (section.CaFile.Length == 0)
        {
            return null;
        }

        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(section.CaFile);
        return authorities.Count > 0
            ? authorities
            : throw new ConfigurationException(
                $"Registry:Stores: '{section.CaFile}' of store '{section.Id}' holds no certificate.");
    }
}
