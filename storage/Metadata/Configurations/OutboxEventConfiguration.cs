using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class OutboxEventConfiguration : IEntityTypeConfiguration<OutboxEvent>
{
    public void Configure(EntityTypeBuilder<OutboxEvent> happened)
    {
        happened.ToTable("events");
        happened.HasKey(e => e.Number);
        happened.Property(e => e.Number).ValueGeneratedOnAdd();
        happened.HasIndex(e => new { e.Subject, e.Number });
        happened.HasIndex(e => e.CreatedAt);
    }
}
