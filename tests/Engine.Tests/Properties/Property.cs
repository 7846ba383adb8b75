using FsCheck;
using FsCheck.Fluent;

namespace Registry.Engine.Tests.Properties;

/// <summary>Runs a property; what fails is shrunk and thrown.</summary>
internal static class Property
{
    public static void Holds<T>(Gen<T> generator, Func<T, Task<bool>> property, int tests) =>
        Holds(generator.ToArbitrary(), property, tests);

    public static void Holds<T>(Arbitrary<T> values, Func<T, Task<bool>> property, int tests) =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(tests),
            Prop.ForAll(values, value => property(value).GetAwaiter().GetResult()));
}
