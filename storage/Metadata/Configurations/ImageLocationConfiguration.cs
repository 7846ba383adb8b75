using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImageLocationConfiguration : IEntityTypeConfiguration<ImageLocation>
{
    public void Configure(EntityTypeBuilder<ImageLocation> location)
    {
        location.ToTable("image_locations");
        location.HasKey(l => new { l.ImageId, l.StoreId });
        location.Ignore(l => l.Key);
        location.HasIndex(l => new { l.StoreId, l.ImageId });
        location.HasIndex(l => new { l.StoreId, l.DamagedAt }, "ix_image_locations_damaged")
            .HasFilter("damaged_at is not null");
        location.Property(l => l.IndexDigest).HasMaxLength(32).IsFixedLength();
    }
}
