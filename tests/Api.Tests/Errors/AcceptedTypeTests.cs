using Registry.Api.Errors;

namespace Registry.Api.Tests.Errors;

/// <summary>Which form of an error an Accept header asks for, as WebOb decides it.</summary>
public sealed class AcceptedTypeTests
{
    [Theory]
    [InlineData("", null)]
    [InlineData(",", null)]
    [InlineData("application/json, */*;q=0.1", "application/json")]
    [InlineData("APPLICATION/JSON ; Q=1.000", "application/json")]
    [InlineData("*/*", "text/html")]
    [InlineData("application/*", "application/json")]
    [InlineData("text/*;q=0.2, application/json;q=0.3", "application/json")]
    [InlineData("application/json, text/html", "text/html")]
    [InlineData("application/json;q=0, */*", "text/html")]
    [InlineData("text/html;q=0, */*", "application/json")]
    [InlineData("*/*;q=0", null)]
    [InlineData("text/plain", null)]
    [InlineData("text/html;level=1", null)]
    [InlineData("text/html;level=1, application/json;q=0.1", "application/json")]
    [InlineData("application/json;q=1.5", "text/html")]
    [InlineData("junk", "text/html")]
    [InlineData("a/b;q=x", "text/html")]
    public void The_type_with_the_highest_weight_is_preferred(string header, string? expected) =>
        Assert.Equal(expected, AcceptedType.Of(header, "text/html", "application/json"));
}
