using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Registry.Engine.Tests.Model;

/// <summary>An image and what is done to it, one after the other.</summary>
/// <param name="Shape">The kind of image.</param>
/// <param name="Steps">What is done.</param>
/// <param name="Writes">The file fails for good after so many writes.</param>
public sealed record DiskScript(DiskShape Shape, IReadOnlyList<DiskStep> Steps, int Writes = int.MaxValue)
{
    /// <summary>Scripts of every kind; one that fails is made shorter.</summary>
    public static Arbitrary<DiskScript> Any { get; } = Arb.From(
        from shape in DiskShape.Any
        from steps in DiskStep.Many
        select new DiskScript(shape, steps),
        Shorter);

    /// <summary>Scripts that end with the file failing.</summary>
    public static Arbitrary<DiskScript> WithCrash { get; } = Arb.From(
        from shape in DiskShape.Any
        from steps in DiskStep.Many
        from writes in Gen.Choose(0, 150)
        select new DiskScript(shape, [.. steps.Where(step => step.Kind != DiskStepKind.Commit)], writes),
        Shorter);

    /// <inheritdoc/>
    public override string ToString()
    {
        var text = new StringBuilder().Append(Shape.Name);
        foreach (var step in Steps)
        {
            text.Append("\n  ").Append(step.Kind).Append($"({step.At}, {step.Size}, {step.Seed})");
        }

        return text.Append(Writes == int.MaxValue ? "" : $"\n  crash after {Writes} writes").ToString();
    }

    private static IEnumerable<DiskScript> Shorter(DiskScript script)
    {
        for (var size = script.Steps.Count / 2; size > 0; size /= 2)
        {
            for (var from = 0; from < script.Steps.Count; from += size)
            {
                yield return script with
                {
                    Steps = [.. script.Steps.Take(from), .. script.Steps.Skip(from + size)],
                };
            }
        }
    }
}
