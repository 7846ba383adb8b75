using System.Collections.Frozen;
using System.Text.Json;

namespace Registry.Engine.Disks;

/// <summary>The stable reason codes of <see cref="FormatError"/>.</summary>
public static class FormatErrors
{
    private static readonly FrozenDictionary<FormatError, string> Codes = Enum.GetValues<FormatError>()
        .ToFrozenDictionary(error => error, error => JsonNamingPolicy.SnakeCaseLower.ConvertName(error.ToString()));

    /// <summary>The reason code that users see, in snake_case: <c>backing_file_refused</c>.</summary>
    /// <param name="error">The reason.</param>
    public static string Code(FormatError error) => Codes[error];
}
