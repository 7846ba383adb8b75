using System.Globalization;
using System.Text;

namespace Registry.Support;

/// <summary>Which byte of which request over HTTP/1.1 has one bit turned.</summary>
/// <param name="Of">The request's method, a space, and a part of its target, such as <c>PUT /data.0?</c>.</param>
/// <param name="Share">Which byte of the body: 0 the first, 1 the last; for an empty body none.</param>
/// <param name="HeadBack">If more than 0, so many bytes before the body instead: in the head.</param>
/// <param name="Bit">Bits to turn.</param>
public sealed record RequestFlip(string Of, double Share, int HeadBack = 0, byte Bit = 1)
{
    /// <summary>Looks for the request on one connection.</summary>
    internal sealed class Search(RequestFlip flip)
    {
        private long _bodyLeft;
        private long _flipIn = -1;

        /// <summary>Reads the next bytes from the client, and turns the bit when it is among them.</summary>
        /// <returns>Whether it was.</returns>
        /// <remarks>The head of a request must come in one piece, as it does from HttpClient.</remarks>
        public bool Pass(Span<byte> bytes, Func<bool> happens)
        {
            var hit = false;
            while (!bytes.IsEmpty)
            {
                if (_bodyLeft == 0)
                {
                    var end = bytes.IndexOf("\r\n\r\n"u8);
                    if (end < 0)
                    {
                        return hit;
                    }

                    hit |= Begin(bytes[..(end + 4)], happens);
                    bytes = bytes[(end + 4)..];
                    continue;
                }

                var length = (int)Math.Min(_bodyLeft, bytes.Length);
                if (_flipIn >= 0 && _flipIn < length)
                {
                    bytes[(int)_flipIn] ^= flip.Bit;
                    (_flipIn, hit) = (-1, true);
                }

                _flipIn -= _flipIn >= 0 ? length : 0;
                _bodyLeft -= length;
                bytes = bytes[length..];
            }

            return hit;
        }

        private bool Begin(Span<byte> head, Func<bool> happens)
        {
            var text = Encoding.ASCII.GetString(head);
            _bodyLeft = text.Split("\r\n").Where(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))
                .Select(line => long.Parse(line["Content-Length:".Length..], CultureInfo.InvariantCulture))
                .FirstOrDefault();
            var parts = flip.Of.Split(' ');
            var line = text[..text.IndexOf("\r\n", StringComparison.Ordinal)];
            if (!line.StartsWith(parts[0] + " ", StringComparison.Ordinal)
                || !line.Contains(parts[1], StringComparison.Ordinal)
                || (flip.HeadBack == 0 && _bodyLeft == 0)
                || !happens())
            {
                return false;
            }

            if (flip.HeadBack > 0)
            {
                head[^Math.Min(flip.HeadBack, head.Length)] ^= flip.Bit;
                return true;
            }

            _flipIn = (long)(flip.Share * (_bodyLeft - 1));
            return false;
        }
    }
}
