namespace Registry.Api.Cors;

/// <summary>Registry:Cors.</summary>
public sealed record CorsSection
{
    private const string Any = "*";

    /// <summary>Origins of the web pages that may call the HTTP API from a browser, such as https://console.example;
    /// empty for none, * for all. Credentials that browsers add by themselves are never let through.</summary>
    public IReadOnlyList<string> AllowedOrigins { get; init; } = [];

    /// <summary>How long a browser may remember what it is allowed.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Whether every origin is allowed.</summary>
    internal bool AllowsAll => AllowedOrigins is [Any];

    /// <summary>Checks the values.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        foreach (var origin in AllowedOrigins.Where(_ => !AllowsAll))
        {
            RegistryOptions.Require(
                Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
                    && origin.TrimEnd('/') == uri.GetLeftPart(UriPartial.Authority),
                "Registry:Cors:AllowedOrigins", origin, "an origin like https://console.example, or * alone");
        }

        RegistryOptions.Require(
            MaxAge >= TimeSpan.Zero && MaxAge <= TimeSpan.FromDays(1), "Registry:Cors:MaxAge", $"{MaxAge}",
            "0 to a day");
    }
}
