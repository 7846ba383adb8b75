namespace Registry.Storage.Blobs.Remote;

/// <summary>A distant store sent an answer that is not understood: damaged on the way, or not what such a store
/// sends.</summary>
/// <param name="problem">What it did, as the end of a sentence that begins with the store.</param>
internal sealed class GarbledAnswerException(string problem = "sent an answer that makes no sense")
    : IOException(problem);
