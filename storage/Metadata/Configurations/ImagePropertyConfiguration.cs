using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImagePropertyConfiguration : IEntityTypeConfiguration<ImageProperty>
{
    /// <summary>The start of the value: values have no limit, what PostgreSQL can index has.</summary>
    public const string ValueKey = nameof(ValueKey);

    /// <summary>Characters in <see cref="ValueKey"/>.</summary>
    public const int ValueKeyLength = 100;

    public void Configure(EntityTypeBuilder<ImageProperty> property)
    {
        property.ToTable("image_properties");
        property.HasKey(p => new { p.ImageId, p.Name });
        property.Property<string>(ValueKey).IsRequired()
            .HasComputedColumnSql(FormattableString.Invariant($"substr(value, 1, {ValueKeyLength})"), stored: true);
        property.HasIndex(nameof(ImageProperty.Name), ValueKey, nameof(ImageProperty.ImageId));
    }
}
