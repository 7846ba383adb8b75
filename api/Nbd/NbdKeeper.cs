using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Nbd;

/// <summary>Makes new images of overlays that their clients are done with.</summary>
/// <remarks>The client has gone by then, or waits for nothing but the end of the connection: the log says what became
/// of the overlay, and the image does.</remarks>
internal sealed partial class NbdKeeper(
    ImageCommands images, ImageUploads uploads, ILogger<NbdKeeper> logger) : IDisposable
{
    private const int AtOnce = 4;
    private const string Raw = "raw";

    private readonly SemaphoreSlim _turn = new(AtOnce);

    /// <summary>Refuses a new image before anything is written for it.</summary>
    /// <exception cref="RegistryException">BadRequest: the name is none. -or- Forbidden: the caller may make no
    /// images, or upload none.</exception>
    public void Require(Caller caller, string name)
    {
        if (name.Length == 0)
        {
            throw ImageRules.Bad("An overlay is kept as an image that has a name.");
        }

        images.RequireFillable(caller, Draft(name, Raw));
    }

    /// <summary>Stores what the client left as a new image: raw where the image is, else qcow2. What fails leaves
    /// nothing behind but a line in the log.</summary>
    /// <param name="caller">Whose it becomes.</param>
    /// <param name="name">The new image's name.</param>
    /// <param name="export">The image and its overlay; nobody writes to it any more.</param>
    /// <param name="stopping">The server stops: the overlay is lost.</param>
    public async Task KeepAsync(Caller caller, string name, NbdExport export, CancellationToken stopping)
    {
        string? made = null;
        try
        {
            await _turn.WaitAsync(stopping);
            try
            {
                Require(caller, name); // the rules may have changed since the export was opened
                var format = export.Disk.Disk.Format == DiskFormat.Raw ? Raw : "qcow2";
                made = (await images.CreateAsync(caller, Draft(name, format), stopping)).Id;
                export.ReleaseQuota();
                var disk = new NbdMergedDisk(export);
                await using var body = await ConvertedBody.OpenAsync(
                    disk, DiskReadOptions.Default, disk, format, disk.VirtualSize, static _ => { }, stopping);
                await uploads.TakeAsync(made, storeId: null, ImageUploads.Owner, body, stopping);
                Log.Kept(logger, export.Disk.ImageId, made);
            }
            finally
            {
                _turn.Release();
            }
        }
#pragma warning disable CA1031 // there is nobody to be told
        catch (Exception e)
#pragma warning restore CA1031
        {
            var reason = stopping.IsCancellationRequested ? "the server stops" : e.Message;
            Log.NotKept(logger, export.Disk.ImageId, caller.ProjectId, reason, e);
            await RemoveAsync(made);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    private async Task RemoveAsync(string? made)
    {
        if (made is null)
        {
            return;
        }

        try
        {
            await images.DiscardAsync(made);
        }
#pragma warning disable CA1031 // it stays as an image without bytes, which its owner can remove
        catch (Exception e)
#pragma warning restore CA1031
        {
            Log.NotRemoved(logger, made, e);
        }
    }

    private static ImageDraft Draft(string name, string format) => new()
    {
        Name = name,
        DiskFormat = format,
        ContainerFormat = "bare",
        Visibility = "private",
    };

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "an overlay of image {ImageId} was kept as image {NewImageId}")]
        public static partial void Kept(ILogger logger, string imageId, string newImageId);

        [LoggerMessage(
            2, LogLevel.Warning, "an overlay of image {ImageId}, of project {Project}, could not be kept: {Reason}")]
        public static partial void NotKept(
            ILogger logger, string imageId, string? project, string reason, Exception exception);

        [LoggerMessage(3, LogLevel.Warning, "image {ImageId}, of an overlay that could not be kept, is left empty")]
        public static partial void NotRemoved(ILogger logger, string imageId, Exception exception);
    }
}
