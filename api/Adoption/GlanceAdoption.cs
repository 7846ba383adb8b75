using System.Runtime.CompilerServices;
using Registry.Api.Errors;
using Registry.Storage.Domain;

namespace Registry.Api.Adoption;

/// <summary>Takes everything from a Glance database, one thing after another; what cannot be taken stops nothing
/// else.</summary>
internal sealed class GlanceAdoption(ImageAdopter images, MetadefAdopter metadefs)
{
    /// <summary>Takes everything.</summary>
    /// <param name="glance">The database.</param>
    /// <param name="plan">How.</param>
    /// <param name="cancellationToken">Cancels; nothing is left half done.</param>
    /// <returns>What became of each, as it happens.</returns>
    /// <exception cref="RegistryException">DatabaseUnavailable: our own database does not answer.</exception>
    public async IAsyncEnumerable<AdoptionLine> RunAsync(
        GlanceDatabase glance, AdoptionPlan plan, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        if (!plan.IsRehearsal)
        {
            foreach (var (type, createdAt) in await glance.ResourceTypesAsync(cancellationToken))
            {
                await metadefs.RememberAsync(type, createdAt, cancellationToken);
            }
        }

        await foreach (var row in glance.NamespacesAsync(cancellationToken))
        {
            yield return await TryAsync(
                "namespace", row.Name, () => metadefs.AdoptAsync(glance, row, plan.IsRehearsal, cancellationToken));
        }

        await foreach (var row in glance.ImagesAsync(cancellationToken))
        {
            yield return await TryAsync(
                "image", row.Id, () => images.AdoptAsync(glance, row, plan, cancellationToken));
        }
    }

    private static async Task<AdoptionLine> TryAsync(string what, string name, Func<Task<AdoptionLine>> adopt)
    {
        try
        {
            return await adopt();
        }
        catch (RegistryException e) when (e.Code == ErrorCode.DuplicateId)
        {
            return new AdoptionLine(what, name, Adopted.There, "somebody else made it meanwhile");
        }
        catch (RegistryException e) when (e.Code != ErrorCode.DatabaseUnavailable)
        {
            return new AdoptionLine(
                what, name, Adopted.Left, e.Message, e.Reason ?? ErrorCatalog.Entry(e.Code).Name);
        }
        catch (IOException e)
        {
            var code = Refusals.From(e) is { } refusal
                ? refusal.Reason ?? ErrorCatalog.Entry(refusal.Code).Name
                : "store_failed";
            return new AdoptionLine(what, name, Adopted.Left, e.Message, code);
        }
    }
}
