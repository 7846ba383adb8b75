using Registry.Api.Errors;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>Why an upload failed, as its image keeps it.</summary>
/// <param name="Code">A stable word.</param>
/// <param name="Reason">A sentence for the owner.</param>
/// <param name="Refusal">The refusal behind it; null for a fault.</param>
internal sealed record UploadFailure(string Code, string Reason, RegistryException? Refusal)
{
    /// <summary>Reads an exception.</summary>
    public static UploadFailure Of(Exception cause)
    {
        var refusal = Refusals.From(cause);
        var code = refusal is null
            ? cause is OperationCanceledException or IOException ? "upload_interrupted" : "internal_error"
            : refusal.Reason ?? ErrorCatalog.Entry(refusal.Code).Name;
        return new UploadFailure(
            code, refusal?.Message ?? "The upload broke off before it was complete.", refusal);
    }
}
