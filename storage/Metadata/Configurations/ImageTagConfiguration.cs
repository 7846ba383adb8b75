using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImageTagConfiguration : IEntityTypeConfiguration<ImageTag>
{
    public void Configure(EntityTypeBuilder<ImageTag> tag)
    {
        tag.ToTable("image_tags");
        tag.HasKey(t => new { t.ImageId, t.Value });
        tag.HasIndex(t => new { t.Value, t.ImageId });
    }
}
