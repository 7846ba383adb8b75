namespace Registry.Support;

/// <summary>How much of what takes long is tried.</summary>
public static class TestRun
{
    /// <summary>Whether everything is: <c>tests/run --full</c>. Else a part stands for cases that are alike.</summary>
    public static bool IsFull { get; } = Environment.GetEnvironmentVariable("REGISTRY_TESTS_FULL") == "true";
}
