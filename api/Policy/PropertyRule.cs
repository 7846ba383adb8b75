using System.Text.RegularExpressions;

namespace Registry.Api.Policy;

/// <summary>What can be done to a custom property.</summary>
internal enum PropertyAction
{
    /// <summary>Give an image a property that it has not got.</summary>
    Create,

    /// <summary>See it.</summary>
    Read,

    /// <summary>Give it another value.</summary>
    Update,

    /// <summary>Take it away.</summary>
    Delete,
}

/// <summary>One section of a property protections file: the properties whose names match, and for each action the roles
/// or the policy rule that it takes; <c>@</c> is everybody and <c>!</c> nobody.</summary>
/// <param name="Line">Line of the section, from 1.</param>
/// <param name="Name">Matches somewhere in the names of the properties that are meant.</param>
internal sealed record PropertyRule(int Line, Regex Name)
{
    /// <summary>Who may do what; every action is there in a rule that was read whole.</summary>
    public Dictionary<PropertyAction, IReadOnlyList<string>> Allowed { get; } = [];

    /// <summary>Whether the rule is about a property. A name that takes too long to compare is: nobody gets around a rule
    /// by making it slow, and the rule is the first that could hold.</summary>
    public bool IsAbout(string name)
    {
        try
        {
            return Name.IsMatch(name);
        }
        catch (RegexMatchTimeoutException)
        {
            return true;
        }
    }
}
