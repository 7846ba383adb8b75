using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Rejects a save after which the additional attributes of an image would have more bytes than one may have,
/// whichever way they came in.</summary>
/// <remarks>Names and values count, in UTF-8; those that the registry itself keeps do not. An image that has more already,
/// from a time without the limit, may keep them and shed some.</remarks>
/// <param name="max">Maximum number of bytes of an image.</param>
internal sealed class PropertyLimit(long max) : SaveChangesInterceptor
{
    /// <summary>Reason of the refusal.</summary>
    public const string Reason = "properties_too_large";

    /// <inheritdoc/>
    public override ValueTask<InterceptionResult<int>> SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        var properties = eventData.Context!.ChangeTracker.Entries<ImageProperty>().ToList();
        foreach (var image in properties
            .Where(entry => entry.State is EntityState.Added or EntityState.Modified)
            .Select(entry => entry.Entity.ImageId).Distinct(StringComparer.Ordinal))
        {
            Require(image, properties.Where(entry => entry.Entity.ImageId == image));
        }

        return ValueTask.FromResult(result);
    }

    private void Require(string image, IEnumerable<EntityEntry<ImageProperty>> properties)
    {
        var (before, after) = (0L, 0L);
        foreach (var entry in properties)
        {
            if (entry.Entity.Name.StartsWith(ImportProperties.Prefix, StringComparison.Ordinal))
            {
                continue;
            }

            var name = Encoding.UTF8.GetByteCount(entry.Entity.Name);
            before += entry.State == EntityState.Added
                ? 0
                : name + Encoding.UTF8.GetByteCount(entry.Property(p => p.Value).OriginalValue);
            after += entry.State == EntityState.Deleted ? 0 : name + Encoding.UTF8.GetByteCount(entry.Entity.Value);
        }

        if (after > max && after > before)
        {
            throw new RegistryException(
                ErrorCode.TooLarge,
                $"The properties of image {image} would have {after} bytes; the maximum is {max}.", Reason);
        }
    }
}
