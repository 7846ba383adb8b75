using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;
using Registry.Storage.Metadata;

namespace Registry.Migrations.Sqlite;

/// <summary>What <c>dotnet ef migrations add NAME --project migrations/sqlite</c> builds the model with; connects to
/// nothing.</summary>
public sealed class DesignTimeFactory : IDesignTimeDbContextFactory<RegistryDb>
{
    /// <inheritdoc/>
    public RegistryDb CreateDbContext(string[] args)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new() { Kind = DatabaseKind.Sqlite, ConnectionString = "Data Source=:memory:" });
        return new RegistryDb(builder.Options);
    }
}
