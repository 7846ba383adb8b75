using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class StagedBlobConfiguration : IEntityTypeConfiguration<StagedBlob>
{
    public void Configure(EntityTypeBuilder<StagedBlob> staged)
    {
        staged.ToTable("staged_blobs");
        staged.HasKey(s => s.ImageId);
        staged.Ignore(s => s.Key);
        staged.Property(s => s.IndexDigest).HasMaxLength(32).IsFixedLength();
    }
}
