namespace Registry.Api.Cli;

/// <summary>A message was damaged between the registry and this host; the same may be asked for again.</summary>
internal sealed class DamagedMessageException()
    : IOException("what arrived from the registry was damaged on its way (damaged_on_the_way)")
{
    /// <summary>How often the same range is asked for before a verb gives up.</summary>
    public const int AttemptsMax = 5;
}
