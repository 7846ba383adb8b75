namespace Registry.Engine.Vhd;

/// <summary>The checksum of VHD structures: the complement of the sum of all bytes but its own.</summary>
internal static class VhdChecksum
{
    /// <summary>Computes the checksum.</summary>
    /// <param name="structure">The whole structure.</param>
    /// <param name="fieldOffset">Where its four checksum bytes are; they count as zero.</param>
    public static uint Compute(ReadOnlySpan<byte> structure, int fieldOffset)
    {
        var sum = 0u;
        for (var i = 0; i < structure.Length; i++)
            sum += i >= fieldOffset && i < fieldOffset + 4 ? 0u : structure[i];
        return ~sum;
    }
}
