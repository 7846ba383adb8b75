namespace Registry.Storage.Blobs.Remote;

/// <summary>A distant store sent an answer that cannot be what it meant.</summary>
internal sealed class GarbledAnswerException() : IOException("sent an answer that makes no sense");
