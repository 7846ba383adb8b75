using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <content>Reading what hangs on the images of a list in batches whose memory is bounded: a few images may have more
/// properties than thousands of others.</content>
public static partial class ImageQueries
{
    /// <summary>Completes listed images with their tags, properties and locations, a bounded batch at a time.</summary>
    /// <param name="databases">The database; no connection is held between batches.</param>
    /// <param name="images">From <see cref="PageAsync"/>. An image leaves the list with its batch, so that its memory is
    /// free when the batch has been used.</param>
    /// <param name="charsMax">Characters of names and values in a batch; more only for one image alone.</param>
    /// <param name="cancellationToken">Cancels the queries.</param>
    /// <returns>The batches, in order, each with its number of characters.</returns>
    public static async IAsyncEnumerable<(IReadOnlyList<Image> Images, long Chars)> CompleteAsync(
        IDbContextFactory<RegistryDb> databases,
        List<Image> images,
        long charsMax,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(databases);
        ArgumentNullException.ThrowIfNull(images);
        images.Reverse(); // batches leave from the end
        var size = images.Count;
        while (images.Count > 0)
        {
            size = Math.Min(size, images.Count);
            var batch = images.GetRange(images.Count - size, size);
            var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
            long? chars;
            await using (db.ConfigureAwait(false))
            {
                chars = await WholeImage.TryCompleteAsync(
                    db, batch, batch.Count > 1 ? charsMax : long.MaxValue, cancellationToken).ConfigureAwait(false);
            }

            if (chars is null)
            {
                size = Math.Max(1, size / 2); // and stays so: the others of the page are probably alike
                continue;
            }

            images.RemoveRange(images.Count - size, size);
            batch.Reverse();
            yield return (batch, chars.Value);
        }
    }
}
