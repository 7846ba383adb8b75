using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Engine.Tests.Model;

/// <summary>The kind of image that operations are tried on.</summary>
public sealed record DiskShape(
    int ClusterBits, int Version, int RefcountBits, bool ExtendedL2, bool Zstd, int Sectors, int BackingSectors,
    bool IsEncrypted)
{
    /// <summary>Shapes of every kind; small clusters more often, since they make more tables of less content.</summary>
    public static Gen<DiskShape> Any { get; } =
        from version in Gen.Elements(2, 3, 3, 3)
        from extended in Gen.Elements(false, false, true).Select(wanted => wanted && version == 3)
        from bits in extended ? Gen.Elements(14, 15) : Gen.Elements(9, 9, 10, 11, 12, 13, 16)
        from refcountOrder in version == 2 ? Gen.Constant(4) : Gen.Choose(0, 6)
        from zstd in Gen.Elements(false, true).Select(wanted => wanted && version == 3)
        from sectors in Gen.Choose(1, extended ? 1500 : Math.Min(1500, 40 << (bits - 9)))
        from backing in Gen.OneOf(Gen.Constant(0), Gen.Choose(1, 2 * sectors))
        from encrypted in Gen.Frequency((12, Gen.Constant(false)), (1, Gen.Constant(bits >= 12 && version == 3)))
        select new DiskShape(bits, version, 1 << refcountOrder, extended, zstd, sectors, backing, encrypted);

    /// <summary>The shape in a line.</summary>
    public string Name =>
        $"v{Version}, clusters 2^{ClusterBits}, refcounts {RefcountBits}"
        + $"{(ExtendedL2 ? ", subclusters" : "")}{(Zstd ? ", zstd" : "")}{(IsEncrypted ? ", luks" : "")}, {Sectors} sectors"
        + $"{(BackingSectors > 0 ? $" over {BackingSectors}" : "")}";

    /// <summary>The shape as options for a new image.</summary>
    public QcowCreateOptions Options => new()
    {
        Size = Sectors * 512L,
        Shape = new QcowShape
        {
            ClusterSize = 1 << ClusterBits,
            Version = Version,
            RefcountBits = RefcountBits,
            ExtendedL2 = ExtendedL2,
            Compression = Zstd ? ClusterCompression.Zstd : ClusterCompression.Deflate,
        },
        BackingName = BackingSectors > 0 ? "base.raw" : null,
        BackingFormat = BackingSectors > 0 ? "raw" : null,
        Luks = IsEncrypted ? LuksOptions.Default with { Iterations = 1000 } : null,
    };
}
