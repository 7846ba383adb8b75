using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata.Configurations;

internal sealed class JobConfiguration : IEntityTypeConfiguration<Job>
{
    public void Configure(EntityTypeBuilder<Job> job)
    {
        job.ToTable("jobs");
        job.HasKey(j => j.Id);
        job.Property(j => j.Id).ValueGeneratedNever();
        job.Property(j => j.Status).HasConversion(s => JobStatuses.Name(s), n => JobStatuses.Parse(n));
        job.Ignore(j => j.Lease);

        // What the queue looks for, what a key keeps single, and what a list walks along.
        job.HasIndex(j => new { j.RunAfter, j.Id }, "ix_jobs_live").HasFilter("ended_at is null");
        job.HasIndex(j => j.UniqueKey).IsUnique().HasFilter("ended_at is null");
        job.HasIndex(j => new { j.ImageId, j.Id });
        job.HasIndex(j => new { j.Owner, j.Id });
        job.HasIndex(j => j.EndedAt);

        // Which project was served last.
        job.HasIndex(j => new { j.Owner, j.ClaimedAt });
    }
}
