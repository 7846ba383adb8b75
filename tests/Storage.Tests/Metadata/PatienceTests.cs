using Microsoft.EntityFrameworkCore;
using Npgsql;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

public sealed class PatienceTests
{
    [Theory]
    [InlineData("Host=h", 3, 4)]
    [InlineData("Host=h;timeout=7;CommandTimeout=50", 7, 50)]
    [InlineData("Host=h;Command Timeout=60", 3, 60)]
    public void A_database_that_is_cut_off_is_given_up_soon_unless_the_operator_wants_it_otherwise(
        string said, int connect, int statement)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new() { Kind = DatabaseKind.Postgres, ConnectionString = said });
        using var db = new RegistryDb(builder.Options);
        var used = new NpgsqlConnectionStringBuilder(db.Database.GetConnectionString());
        Assert.Equal((connect, statement), (used.Timeout, used.CommandTimeout));
    }
}
