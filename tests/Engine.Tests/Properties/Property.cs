using FsCheck;
using FsCheck.Fluent;

namespace Registry.Engine.Tests.Properties;

/// <summary>
/// Runs a property; what fails is shrunk and thrown. A test run tries the same values every time, so that a change is
/// judged by what it changes. <c>PROPERTY_SEED=random</c> looks for new ones, and
/// <c>PROPERTY_SEED=seed,gamma,size</c>, as a failure prints it, repeats one.
/// </summary>
internal static class Property
{
    public static void Holds<T>(Gen<T> generator, Func<T, Task<bool>> property, int tests) =>
        Holds(generator.ToArbitrary(), property, tests);

    public static void Holds<T>(Arbitrary<T> values, Func<T, Task<bool>> property, int tests) =>
        Check.One(
            Seeded(Config.QuickThrowOnFailure.WithMaxTest(tests)),
            Prop.ForAll(values, value => property(value).GetAwaiter().GetResult()));

    private static Config Seeded(Config config)
    {
        var text = Environment.GetEnvironmentVariable("PROPERTY_SEED") ?? "20261,1";
        if (text == "random")
        {
            return config;
        }

        var parts = Array.ConvertAll(text.Split(','), ulong.Parse);
        return parts.Length == 3
            ? config.WithReplay(parts[0], parts[1], (int)parts[2])
            : config.WithReplay(parts[0], parts[1]);
    }
}
