using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImageTombstoneConfiguration : IEntityTypeConfiguration<ImageTombstone>
{
    public void Configure(EntityTypeBuilder<ImageTombstone> tombstone)
    {
        tombstone.ToTable("image_tombstones");
        tombstone.HasKey(t => t.Id);
    }
}
