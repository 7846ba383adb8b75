using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class ImageMemberConfiguration : IEntityTypeConfiguration<ImageMember>
{
    public void Configure(EntityTypeBuilder<ImageMember> member)
    {
        member.ToTable("image_members");
        member.HasKey(m => new { m.ImageId, m.MemberId });
        member.Property(m => m.Status).HasConversion(s => MemberStatuses.Name(s), n => MemberStatuses.Parse(n));
        member.HasIndex(m => new { m.MemberId, m.Status, m.ImageId });
    }
}
