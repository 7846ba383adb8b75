namespace Registry.Api.Tests.Cli;

/// <summary>info, map, check, compare, measure and bench beside qemu-img's.</summary>
public sealed class DiskLookTests(DiskLab lab) : IClassFixture<DiskLab>
{
    private static readonly string[] Images =
    [
        "base.raw", "odd.raw", "empty.raw", "base.qcow2", "top.qcow2", "onraw.qcow2", "v2.qcow2", "small.qcow2",
        "extended.qcow2", "prealloc.qcow2", "snap.qcow2", "bitmaps.qcow2", "packed.qcow2", "data.qcow2", "luks.qcow2",
        "leaking.qcow2", "corrupt.qcow2", "strange.qcow2", "cut.qcow2", "garbage.qcow2", "missing.qcow2",
    ];

    /// <summary>Command lines on each of the images.</summary>
    public static TheoryData<string> OnEachImage()
    {
        var rows = new TheoryData<string>();
        foreach (var image in Images)
        {
            foreach (var line in new[]
            {
                "info", "info --output=json", "map --output=json", "check --output=json", "measure -O qcow2 --output=json",
            })
            {
                // What of an encrypted disk needs its passphrase is asked for in different ways.
                if (image != "luks.qcow2" || line.StartsWith("info", StringComparison.Ordinal))
                {
                    rows.Add($"{line} {{{image}}}");
                }
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(OnEachImage))]
    [InlineData("info --backing-chain {top.qcow2}")]
    [InlineData("info --backing-chain --output=json {top.qcow2}")]
    [InlineData("info --backing-chain --output=json {onraw.qcow2}")]
    [InlineData("info -f qcow2 {base.raw}")]
    [InlineData("info -f raw --output=json {base.qcow2}")]
    [InlineData("info -U {base.qcow2}")]
    [InlineData("info --output=xml {base.qcow2}")]
    [InlineData("info --nonsense {base.qcow2}")]
    [InlineData("info {base.qcow2} {base.raw}")]
    [InlineData("info")]
    [InlineData("map {base.qcow2}")]
    [InlineData("map {top.qcow2}")]
    [InlineData("map {base.raw}")]
    [InlineData("map {packed.qcow2}")]
    [InlineData("map {data.qcow2}")]
    [InlineData("map --output=json --start-offset=100k --max-length=1M {top.qcow2}")]
    [InlineData("map --output=json -s 1M {top.qcow2}")]
    [InlineData("map --output=json -s 0x10000 -l 70000 {top.qcow2}")]
    [InlineData("map --output=json --start-offset=100M {top.qcow2}")]
    [InlineData("map --start-offset=x {top.qcow2}")]
    [InlineData("map -f raw --output=json {top.qcow2}")]
    [InlineData("map")]
    [InlineData("check {base.qcow2}")]
    [InlineData("check -q {leaking.qcow2}")]
    [InlineData("check -f raw {base.raw}")]
    [InlineData("check -T none -U {base.qcow2}")]
    [InlineData("check -r nonsense {base.qcow2}")]
    [InlineData("check")]
    [InlineData("compare {base.raw} {base.raw}")]
    [InlineData("compare {base.raw} {dense.raw}")]
    [InlineData("compare -s {base.raw} {dense.raw}")]
    [InlineData("compare -s {base.qcow2} {packed.qcow2}")]
    [InlineData("compare {base.qcow2} {packed.qcow2}")]
    [InlineData("compare {base.qcow2} {other.qcow2}")]
    [InlineData("compare -q {base.qcow2} {other.qcow2}")]
    [InlineData("compare -p {base.qcow2} {packed.qcow2}")]
    [InlineData("compare -p {base.qcow2} {other.qcow2}")]
    [InlineData("compare -f raw -F raw {base.raw} {other.raw}")]
    [InlineData("compare -T none -U {base.raw} {other.raw}")]
    [InlineData("compare {base.qcow2} {middle.qcow2}")]
    [InlineData("compare -s {base.qcow2} {middle.qcow2}")]
    [InlineData("compare {v2.qcow2} {empty.raw}")]
    [InlineData("compare {prealloc.qcow2} {small.qcow2}")]
    [InlineData("compare -s {top.qcow2} {top.qcow2}")]
    [InlineData("compare -f qcow2 {base.raw} {base.raw}")]
    [InlineData("compare {base.raw} {missing.raw}")]
    [InlineData("compare -f nonsense {base.raw} {base.raw}")]
    [InlineData("compare {base.raw}")]
    [InlineData("compare --nonsense {base.raw} {base.raw}")]
    [InlineData("measure {base.qcow2}")]
    [InlineData("measure -O raw --output=json {odd.raw}")]
    [InlineData("measure -O qcow2 {bitmaps.qcow2}")]
    [InlineData("measure -O qcow2 -o compat=0.10 {bitmaps.qcow2}")]
    [InlineData("measure -O qcow2 -o cluster_size=4k {top.qcow2}")]
    [InlineData("measure -O qcow2 -o cluster_size=2M,refcount_bits=64 {top.qcow2}")]
    [InlineData("measure -O qcow2 -o extended_l2=on {top.qcow2}")]
    [InlineData("measure -O qcow2 -o preallocation=full {top.qcow2}")]
    [InlineData("measure -O qcow2 -o preallocation=metadata {top.qcow2}")]
    [InlineData("measure -O qcow2 -o backing_file=x,backing_fmt=raw {top.qcow2}")]
    [InlineData("measure -O qcow2 -l one {snap.qcow2}")]
    [InlineData("measure -O qcow2 -l snapshot.name=two {snap.qcow2}")]
    [InlineData("measure -O qcow2 -l none {snap.qcow2}")]
    [InlineData("measure -O qcow2 --size 1T")]
    [InlineData("measure -O qcow2 --size 12345678")]
    [InlineData("measure -O qcow2 --size 0 --output=json")]
    [InlineData("measure -O qcow2 -o cluster_size=512 --size 1G")]
    [InlineData("measure -O qcow2 -o cluster_size=512 --size 1T")]
    [InlineData("measure -O qcow2 -o cluster_size=512,refcount_bits=1 --size 100M")]
    [InlineData("measure -O raw --size 1000")]
    [InlineData("measure --size 1G {base.raw}")]
    [InlineData("measure")]
    [InlineData("measure -O qcow2 -o nonsense=1 {base.raw}")]
    [InlineData("measure -O nonsense {base.raw}")]
    [InlineData("measure --size x")]
    [InlineData("bench -c 20 {base.qcow2}")]
    [InlineData("bench -c 20 -d 3 -s 64k -S 128k -o 4096 -t none -U {top.qcow2}")]
    [InlineData("bench -q -c 20 {base.qcow2}")]
    [InlineData("bench -c 20 -i threads -f raw {base.raw}")]
    [InlineData("bench -c 0 {base.qcow2}")]
    [InlineData("bench -c 10 --flush-interval 5 {base.qcow2}")]
    [InlineData("bench -c 10 -s 1000 --pattern 3 --no-drain {base.qcow2}")]
    [InlineData("bench -c 10 -o 100M {base.qcow2}")]
    [InlineData("bench -c x {base.qcow2}")]
    [InlineData("bench -i nonsense {base.qcow2}")]
    [InlineData("bench")]
    public async Task It_answers_as_qemu_img(string line)
    {
        using var comparison = new DiskComparison(lab);
        await comparison.ExpectSameAsync(line, null);
    }
}
