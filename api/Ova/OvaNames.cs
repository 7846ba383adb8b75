namespace Registry.Api.Ova;

/// <summary>Finds the members of an archive that its descriptor and its manifest refer to.</summary>
/// <remarks>A reference is a URI relative to the file that holds it (DSP0243, 7.1). Many programs write a plain name
/// instead, so a member that is named literally as the reference goes first.</remarks>
internal static class OvaNames
{
    /// <summary>Makes the name of a member plain: without <c>.</c>, <c>..</c> and empty parts.</summary>
    public static string Plain(string name)
    {
        var parts = new List<string>();
        foreach (var part in name.Split('/'))
        {
            if (part == ".." && parts.Count > 0 && parts[^1] != "..")
            {
                parts.RemoveAt(parts.Count - 1);
            }
            else if (part is not ("" or "."))
            {
                parts.Add(part);
            }
        }

        return string.Join('/', parts);
    }

    /// <summary>Whether a member is one that the system of the maker adds to archives, about another one.</summary>
    public static bool IsAside(string name) =>
        name.StartsWith("__MACOSX/", StringComparison.Ordinal)
        || name.AsSpan(name.LastIndexOf('/') + 1).StartsWith("._");

    /// <summary>Finds what a reference means.</summary>
    /// <param name="members">The members of the archive, whose names are plain.</param>
    /// <param name="holder">Name of the member that holds the reference.</param>
    /// <param name="reference">The reference.</param>
    /// <returns>Null where the archive has no such member.</returns>
    public static TarMember? Find(IReadOnlyList<TarMember> members, string holder, string reference)
    {
        var folder = holder[..(holder.LastIndexOf('/') + 1)];
        foreach (var name in new[]
        {
            Plain(folder + reference), Plain(reference), Plain(folder + Uri.UnescapeDataString(reference)),
            Plain(Uri.UnescapeDataString(reference)),
        })
        {
            foreach (var member in members)
            {
                if (member.Name == name)
                {
                    return member;
                }
            }
        }

        return null;
    }
}
