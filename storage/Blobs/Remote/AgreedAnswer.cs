namespace Registry.Storage.Blobs.Remote;

/// <summary>Answers without a checksum of their own that are kept for long, such as the shape of a blob: asked for until
/// two are equal, so that a bit that flipped on the way is not kept.</summary>
internal static class AgreedAnswer
{
    private const int RoundsMax = 3;

    /// <summary>Gets an answer.</summary>
    /// <param name="ask">Asks once; null for an answer that makes no sense. Two run at the same time.</param>
    /// <returns>Null when no two answers are equal, or both make no sense.</returns>
    public static async Task<T?> GetAsync<T>(Func<Task<T?>> ask)
    {
        T? last = default;
        for (var round = 0; round < RoundsMax; round++)
        {
            var answers = await Task.WhenAll(ask(), ask()).ConfigureAwait(false);
            if (answers[0] is { } first && (first.Equals(answers[1]) || first.Equals(last)))
            {
                return first;
            }

            if (answers[1] is { } second && second.Equals(last))
            {
                return second;
            }

            last = answers[1] ?? answers[0] ?? last;
        }

        return default;
    }
}
