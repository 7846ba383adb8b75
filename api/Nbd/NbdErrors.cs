using Registry.Engine.Disks;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>Which number a failure has, and what a human is told of it.</summary>
internal static class NbdErrors
{
    private const int NoSpaceOnDevice = 28;

    /// <summary>Whether a failure is one to be told to the client: the connection goes on.</summary>
    public static bool IsOfRequest(Exception exception) =>
        exception is NbdRefusalException or ImageFormatException or IOException or UnauthorizedAccessException
            or RegistryException or HttpRequestException;

    /// <summary>The number and the sentence of a failure.</summary>
    public static (NbdError Error, string Message) Of(Exception exception) => exception switch
    {
        NbdRefusalException refusal => (refusal.Error, refusal.Message),
        RegistryException { Code: ErrorCode.QuotaExceeded } => (NbdError.NoSpace, exception.Message),
        IOException { HResult: NoSpaceOnDevice } => (NbdError.NoSpace, "The overlay's disk is full."),
        _ => (NbdError.Io, exception.Message),
    };
}
