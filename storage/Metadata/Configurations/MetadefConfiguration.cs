using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata.Configurations;

/// <summary>The six tables of metadata definitions.</summary>
internal sealed class MetadefConfiguration :
    IEntityTypeConfiguration<MetadefNamespace>,
    IEntityTypeConfiguration<MetadefProperty>,
    IEntityTypeConfiguration<MetadefObject>,
    IEntityTypeConfiguration<MetadefTag>,
    IEntityTypeConfiguration<MetadefAssociation>,
    IEntityTypeConfiguration<MetadefResourceType>
{
    public void Configure(EntityTypeBuilder<MetadefNamespace> definitions)
    {
        definitions.ToTable("metadef_namespaces");
        definitions.HasKey(n => n.Id);
        definitions.Property(n => n.Id).ValueGeneratedNever();
        definitions.Property(n => n.Version).IsConcurrencyToken();
        definitions.HasIndex(n => n.Name).IsUnique();
        definitions.HasIndex(n => new { n.CreatedAt, n.Name });
        definitions.HasIndex(n => new { n.UpdatedAt, n.Name });

        definitions.HasMany(n => n.Properties).WithOne().HasForeignKey(p => p.NamespaceId);
        definitions.HasMany(n => n.Objects).WithOne().HasForeignKey(o => o.NamespaceId);
        definitions.HasMany(n => n.Tags).WithOne().HasForeignKey(t => t.NamespaceId);
        definitions.HasMany(n => n.Associations).WithOne().HasForeignKey(a => a.NamespaceId);
        foreach (var navigation in definitions.Metadata.GetNavigations())
        {
            navigation.SetPropertyAccessMode(PropertyAccessMode.Field);
        }
    }

    public void Configure(EntityTypeBuilder<MetadefProperty> property)
    {
        property.ToTable("metadef_properties");
        property.HasKey(p => new { p.NamespaceId, p.Name });
    }

    public void Configure(EntityTypeBuilder<MetadefObject> definition)
    {
        definition.ToTable("metadef_objects");
        definition.HasKey(o => new { o.NamespaceId, o.Name });
    }

    public void Configure(EntityTypeBuilder<MetadefTag> tag)
    {
        tag.ToTable("metadef_tags");
        tag.HasKey(t => new { t.NamespaceId, t.NameKey });
    }

    public void Configure(EntityTypeBuilder<MetadefAssociation> association)
    {
        association.ToTable("metadef_associations");
        association.HasKey(a => new { a.NamespaceId, a.Name });
        association.HasIndex(a => new { a.Name, a.NamespaceId });
        association.HasOne<MetadefResourceType>().WithMany().HasForeignKey(a => a.Name).OnDelete(DeleteBehavior.Restrict);
    }

    public void Configure(EntityTypeBuilder<MetadefResourceType> type)
    {
        type.ToTable("metadef_resource_types");
        type.HasKey(t => t.Name);
    }
}
