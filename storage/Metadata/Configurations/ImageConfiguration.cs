using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImageConfiguration : IEntityTypeConfiguration<Image>
{
    // What null sorts as: Glance pages as if null were '' or 0, so the order has to say the same.
    public const string NameKey = nameof(NameKey);
    public const string ContainerFormatKey = nameof(ContainerFormatKey);
    public const string DiskFormatKey = nameof(DiskFormatKey);
    public const string SizeKey = nameof(SizeKey);

    private static readonly string[] SortKeys =
        [NameKey, nameof(Image.Status), ContainerFormatKey, DiskFormatKey, SizeKey, nameof(Image.UpdatedAt)];

    public void Configure(EntityTypeBuilder<Image> image)
    {
        image.ToTable("images");
        image.HasKey(i => i.Id);
        image.Property(i => i.Status).HasConversion(s => ImageStatuses.Name(s), n => ImageStatuses.Parse(n));
        image.Property(i => i.Visibility)
            .HasConversion(v => ImageVisibilities.Name(v), n => ImageVisibilities.Parse(n));
        image.Property(i => i.Revision).IsConcurrencyToken();
        image.Property(i => i.HashAlgorithm).HasColumnName("os_hash_algo");
        image.Property(i => i.HashValue).HasColumnName("os_hash_value");

        image.Property<string>(NameKey).IsRequired().HasComputedColumnSql("coalesce(name, '')", stored: true);
        image.Property<string>(ContainerFormatKey).IsRequired()
            .HasComputedColumnSql("coalesce(container_format, '')", stored: true);
        image.Property<string>(DiskFormatKey).IsRequired()
            .HasComputedColumnSql("coalesce(disk_format, '')", stored: true);
        image.Property<long>(SizeKey).HasComputedColumnSql("coalesce(size, 0)", stored: true);

        ConfigureParts(image);
        ConfigureIndexes(image);
    }

    private static void ConfigureParts(EntityTypeBuilder<Image> image)
    {
        image.HasMany(i => i.Tags).WithOne().HasForeignKey(t => t.ImageId).OnDelete(DeleteBehavior.Cascade);
        image.HasMany(i => i.Properties).WithOne().HasForeignKey(p => p.ImageId).OnDelete(DeleteBehavior.Cascade);
        image.HasMany(i => i.Members).WithOne().HasForeignKey(m => m.ImageId).OnDelete(DeleteBehavior.Cascade);
        image.HasMany(i => i.Locations).WithOne().HasForeignKey(l => l.ImageId).OnDelete(DeleteBehavior.Cascade);
        foreach (var navigation in image.Metadata.GetNavigations())
        {
            navigation.SetPropertyAccessMode(PropertyAccessMode.Field);
        }
    }

    private static void ConfigureIndexes(EntityTypeBuilder<Image> image)
    {
        // One a sort key, with the tie-breakers behind it: a page is a walk along an index, at any depth.
        image.HasIndex(nameof(Image.CreatedAt), nameof(Image.Id));
        foreach (var key in SortKeys)
        {
            image.HasIndex(key, nameof(Image.CreatedAt), nameof(Image.Id));
        }

        // Who sees what: a project's own images, in the orders that clients ask for unless told otherwise, and everybody's.
        // Of the rest only the few are indexed that somebody looks for: an index that says the same of nearly every image
        // would only mislead the planner.
        image.HasIndex(nameof(Image.Owner), nameof(Image.CreatedAt), nameof(Image.Id));
        image.HasIndex(nameof(Image.Owner), NameKey, nameof(Image.CreatedAt), nameof(Image.Id));
        Few("is_hidden", "ix_images_hidden");
        Few("is_protected", "ix_images_protected");
        foreach (var visibility in (ReadOnlySpan<string>)["public", "community"])
        {
            // All projects walk along these, and an image that is in none of them does not pay for them.
            var condition = $"visibility = '{visibility}'";
            Few(condition, $"ix_images_{visibility}");
            Index([nameof(Image.Id)], condition, $"ix_images_{visibility}_id");
            foreach (var key in SortKeys)
            {
                Index(
                    [key, nameof(Image.CreatedAt), nameof(Image.Id)], condition,
                    $"ix_images_{visibility}_{image.Property(key).Metadata.GetColumnName()}");
            }
        }

        foreach (var filter in (ReadOnlySpan<string>)
            [
                nameof(Image.Checksum), nameof(Image.HashValue), nameof(Image.VirtualSize), nameof(Image.MinRam),
                nameof(Image.MinDisk),
            ])
        {
            image.HasIndex(filter);
        }

        void Few(string condition, string name) => Index([nameof(Image.CreatedAt), nameof(Image.Id)], condition, name);

        void Index(string[] columns, string condition, string name) =>
            image.HasIndex(columns, name).HasDatabaseName(name).HasFilter(condition);
    }
}
