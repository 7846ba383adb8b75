using Registry.Storage.Metadata;

namespace Registry.Api.Events;

/// <summary>Registry:Events: who hears of what happens to images.</summary>
public sealed record EventsSection
{
    /// <summary>URL that events are posted to; empty for nobody. The operator's word: it may be anywhere.</summary>
    public string Webhook { get; init; } = "";

    /// <summary>Secret that posts are signed with; empty for no signature, or <see cref="SecretFile"/>.</summary>
    public string Secret { get; init; } = "";

    /// <summary>File that holds the secret.</summary>
    public string SecretFile { get; init; } = "";

    /// <summary>What events name as their source; several registries that post to one receiver differ in it.</summary>
    public string Source { get; init; } = "/registry";

    /// <summary>What nobody is told of, as Glance's disabled_notifications: types of events, or what they begin with
    /// (<c>image.member</c>, <c>metadef_tag</c>), separated by commas. Each download is a write to the database where
    /// downloads are told of.</summary>
    public string Disabled { get; init; } = "image.send";

    /// <summary>How often to look for events.</summary>
    public TimeSpan Poll { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the receiver may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest pause before an event is posted again.</summary>
    public TimeSpan PauseMax { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How long an event that nobody takes is kept.</summary>
    public TimeSpan Keep { get; init; } = TimeSpan.FromDays(3);

    /// <summary>Most events that are kept; the oldest go first.</summary>
    public int Most { get; init; } = 100_000;

    /// <summary>Whether there is anybody to tell.</summary>
    internal bool IsWanted => Webhook.Length > 0;

    /// <summary>The words of <see cref="Disabled"/>.</summary>
    internal IReadOnlyList<string> DisabledWords => Outbound.OutboundSection.Split(Disabled);

    /// <summary>Says everything but the secret.</summary>
    public override string ToString() => Webhook;

    /// <summary>Checks the values.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        const string key = "Registry:Events";
        RegistryOptions.Require(
            !IsWanted || (Uri.TryCreate(Webhook, UriKind.Absolute, out var url) && url.Scheme is "http" or "https"
                && url.UserInfo.Length == 0),
            $"{key}:Webhook", "not one", "an http or https URL without user and password");
        RegistryOptions.Require(
            Uri.TryCreate(Source, UriKind.RelativeOrAbsolute, out _) && Source.Length > 0, $"{key}:Source", Source,
            "a URI or a path");
        RegistryOptions.Require(
            Secret.Length == 0 || SecretFile.Length == 0, $"{key}:Secret", "set beside SecretFile", "set in one way");
        foreach (var word in DisabledWords)
        {
            RegistryOptions.Require(
                EventSelection.IsKnown(word), $"{key}:Disabled", word, "types of events such as image.send, or groups such as task");
        }

        RegistryOptions.Require(Poll > TimeSpan.Zero, $"{key}:Poll", $"{Poll}", "more than 0");
        RegistryOptions.Require(
            Timeout > TimeSpan.Zero && Timeout <= TimeSpan.FromMinutes(5), $"{key}:Timeout", $"{Timeout}",
            "more than 0, up to 5 min");
        RegistryOptions.Require(PauseMax > TimeSpan.Zero, $"{key}:PauseMax", $"{PauseMax}", "more than 0");
        RegistryOptions.Require(Keep > TimeSpan.Zero, $"{key}:Keep", $"{Keep}", "more than 0");
        RegistryOptions.Require(Most > 0, $"{key}:Most", $"{Most}", "more than 0");
    }
}
