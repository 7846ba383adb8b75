namespace Registry.Faults;

/// <summary>A promise was broken.</summary>
internal sealed class FaultException(string message) : Exception(message);

/// <summary>The check cannot be made on this machine, or says nothing about this configuration.</summary>
internal sealed class CannotRunException(string message) : Exception(message);
