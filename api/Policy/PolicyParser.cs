namespace Registry.Api.Policy;

/// <summary>Reads a rule in oslo.policy's language: <c>role:</c>, <c>rule:</c>, <c>attribute:%(target)s</c>,
/// <c>'literal':%(target)s</c>, <c>@</c>, <c>!</c>, <c>and</c>, <c>or</c>, <c>not</c>, parentheses.</summary>
/// <remarks><c>not</c> binds tightest, then <c>and</c>, then <c>or</c>. An empty rule holds for everybody.</remarks>
internal sealed class PolicyParser
{
    private const int LengthMax = 16 * 1024;
    private const int DepthMax = 64;

    private readonly List<string> _tokens;
    private int _at;
    private int _depth;

    private PolicyParser(List<string> tokens) => _tokens = tokens;

    /// <summary>Reads a rule.</summary>
    /// <exception cref="FormatException">It is none, or names an attribute that callers have not got; the message says where
    /// it goes wrong.</exception>
    public static PolicyCheck Parse(string text)
    {
        if (text.Length > LengthMax)
        {
            throw new FormatException($"a rule is longer than {LengthMax} characters");
        }

        var tokens = Split(text);
        if (tokens.Count == 0)
        {
            return new ConstantCheck(Value: true);
        }

        var parser = new PolicyParser(tokens);
        var check = parser.ReadAny();
        return parser._at == tokens.Count
            ? check
            : throw new FormatException($"'{tokens[parser._at]}' is not expected here");
    }

    private PolicyCheck ReadAny()
    {
        if (++_depth > DepthMax)
        {
            throw new FormatException("too many parentheses");
        }

        var parts = new List<PolicyCheck> { ReadAll() };
        while (TryTake("or"))
        {
            parts.Add(ReadAll());
        }

        _depth--;
        return parts.Count == 1 ? parts[0] : new AnyCheck(parts);
    }

    private PolicyCheck ReadAll()
    {
        var parts = new List<PolicyCheck> { ReadNot() };
        while (TryTake("and"))
        {
            parts.Add(ReadNot());
        }

        return parts.Count == 1 ? parts[0] : new AllCheck(parts);
    }

    private PolicyCheck ReadNot()
    {
        var negations = 0;
        while (TryTake("not"))
        {
            negations++;
        }

        var check = ReadOne();
        return negations % 2 == 0 ? check : new NotCheck(check);
    }

    private PolicyCheck ReadOne()
    {
        if (_at == _tokens.Count)
        {
            throw new FormatException("the rule ends too early");
        }

        var token = _tokens[_at++];
        if (token == "(")
        {
            var inner = ReadAny();
            return TryTake(")") ? inner : throw new FormatException("a parenthesis is not closed");
        }

        return token switch
        {
            "@" => new ConstantCheck(Value: true),
            "!" => new ConstantCheck(Value: false),
            _ => ReadPair(token),
        };
    }

    private static PolicyCheck ReadPair(string token)
    {
        var colon = token[0] is '\'' or '"' ? token.IndexOf(':', token.LastIndexOf(token[0])) : token.IndexOf(':');
        if (colon <= 0 || colon == token.Length - 1)
        {
            throw new FormatException($"'{token}' is no check; one looks like kind:match");
        }

        var (left, right) = (token[..colon], Unquoted(token[(colon + 1)..]));
        return left switch
        {
            "role" => new RoleCheck(right),
            "rule" => new RuleCheck(right),
            "http" or "https" => throw new FormatException("checks that ask another server are not supported"),
            _ when left != Unquoted(left) => new MatchCheck(Unquoted(left), IsLiteral: true, right),
            "True" or "False" or "None" => new MatchCheck(left, IsLiteral: true, right),
            _ when char.IsAsciiDigit(left[0]) => new MatchCheck(left, IsLiteral: true, right),
            _ when CallerAttributes.IsKnown(left) => new MatchCheck(left, IsLiteral: false, right),

            // Such a check never holds, so a rule with "not" before it would hold for everybody.
            _ => throw new FormatException(
                $"a caller has no attribute '{left}'; the attributes are {string.Join(", ", CallerAttributes.Names)}"),
        };
    }

    private bool TryTake(string word)
    {
        if (_at == _tokens.Count || !string.Equals(_tokens[_at], word, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        _at++;
        return true;
    }

    private static string Unquoted(string text) =>
        text.Length >= 2 && text[0] is '\'' or '"' && text[^1] == text[0] ? text[1..^1] : text;

    // Blanks separate, parentheses stand alone unless they belong to a %(name)s, quotes keep what they enclose.
    private static List<string> Split(string text)
    {
        var tokens = new List<string>();
        var start = -1;
        for (var i = 0; i <= text.Length; i++)
        {
            var c = i < text.Length ? text[i] : ' ';
            if (c is '\'' or '"' && (start < 0 || text[i - 1] == ':'))
            {
                start = start < 0 ? i : start;
                i = text.IndexOf(c, i + 1);
                if (i < 0)
                {
                    throw new FormatException("a quotation mark is not closed");
                }
            }
            else if (c == '%' && i + 1 < text.Length && text[i + 1] == '(')
            {
                start = start < 0 ? i : start;
                i = text.IndexOf(")s", i, StringComparison.Ordinal) + 1;
                if (i == 0)
                {
                    throw new FormatException("a %( is not closed by )s");
                }
            }
            else if (char.IsWhiteSpace(c) || c is '(' or ')')
            {
                if (start >= 0)
                {
                    tokens.Add(text[start..i]);
                    start = -1;
                }

                if (c is '(' or ')')
                {
                    tokens.Add(c.ToString());
                }
            }
            else if (start < 0)
            {
                start = i;
            }
        }

        return tokens;
    }
}
