using System.Net;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Events;

/// <summary>Notes downloads when they have ended, where somebody wants to hear of them. A download is not held up by it,
/// and does not fail for it.</summary>
internal sealed partial class ImageSends(
    EventOutbox outbox, IOptions<RegistryOptions> options, ILogger<ImageSends> logger)
{
    private readonly EventSelection? _events = options.Value.Events.IsWanted
        && new EventSelection(options.Value.Events.DisabledWords) is var events
        && (events.Wants(ImageSent.Whole) || events.Wants(ImageSent.Broken)) ? events : null;

    /// <summary>Begins to count what is sent; disposing notes it.</summary>
    /// <returns>Null where nobody wants to hear of it.</returns>
    /// <param name="caller">Who receives it.</param>
    /// <param name="image">The image.</param>
    /// <param name="length">Bytes that are to be sent.</param>
    /// <param name="destination">Where they go.</param>
    public ImageSend? Begin(Caller caller, Image image, long length, IPAddress? destination) => _events is null
        ? null
        : new ImageSend(this, new ImageSent(
            image.Id, image.Owner, caller.ProjectId, caller.UserId, destination?.ToString(), 0, length));

    private async Task NoteAsync(ImageSent sent)
    {
        if (_events?.Wants(sent.Type) != true)
        {
            return;
        }

        try
        {
            await outbox.AddAsync(sent, CancellationToken.None);
        }
        catch (RegistryException e)
        {
            Log.NotNoted(logger, sent.ImageId, sent.Bytes, e);
        }
    }

    /// <summary>A download under way.</summary>
    internal sealed class ImageSend(ImageSends sends, ImageSent sent) : IAsyncDisposable
    {
        private long _bytes;

        /// <summary>Counts bytes that were sent.</summary>
        public void Add(long bytes) => _bytes += bytes;

        /// <summary>Counts whatever is written.</summary>
        public Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> Counting(
            Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> write) => async (bytes, cancellationToken) =>
        {
            await write(bytes, cancellationToken);
            _bytes += bytes.Length;
        };

        /// <inheritdoc/>
        public async ValueTask DisposeAsync() => await sends.NoteAsync(sent with { Bytes = _bytes });
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "nobody is told that {Bytes} bytes of image {ImageId} were sent")]
        public static partial void NotNoted(ILogger logger, string imageId, long bytes, Exception exception);
    }
}
