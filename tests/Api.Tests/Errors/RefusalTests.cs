using Npgsql;
using Registry.Api.Errors;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Errors;

public sealed class RefusalTests
{
    [Fact]
    public void A_database_that_is_away_is_told_as_such_however_deep_it_is_wrapped()
    {
        var away = new NpgsqlException("x", new TimeoutException());
        Assert.Equal(ErrorCode.DatabaseUnavailable, Refusals.From(away)!.Code);
        Assert.Equal(ErrorCode.DatabaseUnavailable, Refusals.From(new InvalidOperationException("x", away))!.Code);
        Assert.Null(Refusals.From(new InvalidOperationException("x")));
    }
}
