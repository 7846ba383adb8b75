using System.Buffers.Binary;

namespace Registry.Api.Nbd;

/// <summary>A request's head.</summary>
/// <param name="Flags">How it is wanted.</param>
/// <param name="Command">What is wanted.</param>
/// <param name="Cookie">The client's own number, repeated in every reply.</param>
/// <param name="Offset">First byte of the disk; checked by <see cref="IsInside"/>.</param>
/// <param name="Length">Bytes.</param>
internal readonly record struct NbdRequest(
    NbdCommandFlags Flags, NbdCommand Command, ulong Cookie, ulong Offset, uint Length)
{
    /// <summary>Bytes of a head.</summary>
    public const int Size = 28;

    /// <summary>Most bytes that a request reads or writes.</summary>
    public const uint PayloadMax = 32 << 20;

    /// <summary>First byte of the disk, once it is known to be in it.</summary>
    public long Start => (long)Offset;

    /// <summary>Reads a head.</summary>
    /// <exception cref="NbdViolationException">It does not begin as one.</exception>
    public static NbdRequest Parse(ReadOnlySpan<byte> head)
    {
        if (BinaryPrimitives.ReadUInt32BigEndian(head) != NbdMagic.Request)
        {
            throw new NbdViolationException("a request does not begin with its magic number");
        }

        return new NbdRequest(
            Flags:   (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(head[4..]),
            Command: (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(head[6..]),
            Cookie:  BinaryPrimitives.ReadUInt64BigEndian(head[8..]),
            Offset:  BinaryPrimitives.ReadUInt64BigEndian(head[16..]),
            Length:  BinaryPrimitives.ReadUInt32BigEndian(head[24..]));
    }

    /// <summary>Whether all its bytes lie in a disk of a size.</summary>
    public bool IsInside(long size) => Offset <= (ulong)size && Length <= (ulong)size - Offset;
}
