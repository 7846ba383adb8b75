using Xunit.Sdk;
using Xunit.v3;

namespace Registry.Support;

/// <summary>Runs what takes minutes before what takes seconds, so that no processor is idle while the last long one
/// ends. Long are the classes of fault checks and of properties, by their names.</summary>
public sealed class LongTestsFirst : ITestCollectionOrderer
{
    /// <inheritdoc/>
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(
        IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderByDescending(collection => IsLong(collection.TestCollectionDisplayName))];

    // "Test collection for NAMESPACE.CLASS (id: NUMBER)"
    private static bool IsLong(string name) =>
        name.Contains("Checks (", StringComparison.Ordinal) || name.Contains("Properties (", StringComparison.Ordinal);
}
