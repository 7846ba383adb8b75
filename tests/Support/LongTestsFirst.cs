using Xunit.Sdk;
using Xunit.v3;

namespace Registry.Support;

/// <summary>Runs what takes minutes before what takes seconds, so that no processor is idle while the last long one
/// ends. Long are the fault checks, the classes of properties and the commands that are compared with Glance's, by their
/// names.</summary>
public sealed class LongTestsFirst : ITestCollectionOrderer
{
    /// <inheritdoc/>
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(
        IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderByDescending(collection => IsLong(collection.TestCollectionDisplayName))];

    // "Test collection for NAMESPACE.CLASS (id: NUMBER)", or the collection's own name.
    private static bool IsLong(string name) =>
        name.EndsWith("Checks", StringComparison.Ordinal) || name.Contains("Properties (", StringComparison.Ordinal)
        || name.Contains("PeerTests (", StringComparison.Ordinal);
}
