using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;
using Registry.Storage.Metadata;

namespace Registry.Migrations.Postgres;

/// <summary>What <c>dotnet ef migrations add NAME --project migrations/postgres</c> builds the model with; connects to
/// nothing.</summary>
public sealed class DesignTimeFactory : IDesignTimeDbContextFactory<RegistryDb>
{
    /// <inheritdoc/>
    public RegistryDb CreateDbContext(string[] args)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new() { Kind = DatabaseKind.Postgres, ConnectionString = "Host=localhost" });
        return new RegistryDb(builder.Options);
    }
}
