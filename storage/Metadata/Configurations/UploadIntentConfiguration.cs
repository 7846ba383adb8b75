using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class UploadIntentConfiguration : IEntityTypeConfiguration<UploadIntent>
{
    public void Configure(EntityTypeBuilder<UploadIntent> intent)
    {
        intent.ToTable("upload_intents");
        intent.HasKey(i => i.Id);
        intent.Property(i => i.Id).ValueGeneratedNever();
        intent.Ignore(i => i.Key);
        intent.HasIndex(i => new { i.ImageId, i.Generation, i.StoreId }).IsUnique();
        intent.HasIndex(i => i.ExpiresAt);
    }
}
