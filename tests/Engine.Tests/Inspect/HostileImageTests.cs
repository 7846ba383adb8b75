using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Tests.Oracle;
using Registry.Hostile;
using Xunit;

namespace Registry.Engine.Tests.Inspect;

public sealed class HostileImageTests
{
    private static readonly Dictionary<string, HostileImage> Images = HostileImage.All().ToDictionary(image =>
        image.Name);

    public static TheoryData<string> Names => [.. Images.Keys];

    [Fact]
    public void There_are_many() => Assert.InRange(Images.Count, 110, int.MaxValue);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Is_refused_for_its_reason(string name)
    {
        var image = Images[name];
        var file = image.Bytes;
        var inspection = Inspecting.InPieces(file, 64 * 1024);
        var refusal = UploadVerdict.Judge(image.DiskFormat, "bare", inspection).Refusal;
        Assert.True(image.NeedsMap == (refusal is null), $"{refusal?.Error}: {refusal?.Message}");
        refusal ??= await Inspecting.MapAsync(file, inspection.Format);

        Assert.NotNull(refusal);
        Assert.True(image.Expected == refusal.Error, $"{refusal.Error}: {refusal.Message}");
        Assert.All(HostileImage.NamedThings, thing => Assert.DoesNotContain(thing, refusal.Message, StringComparison.Ordinal));
        Assert.DoesNotContain(refusal.Message, char.IsControl);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void As_raw_it_passes_only_where_nothing_is_recognised(string name)
    {
        var image = Images[name];
        var verdict = UploadVerdict.Judge("raw", "bare", Inspecting.InPieces(image.Bytes, 64 * 1024));

        Assert.True(image.IsFineAsRaw == verdict.IsAccepted, verdict.Refusal?.Message);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Is_judged_within_the_budget(string name)
    {
        var image = Images[name];
        var file = image.Bytes;

        // All in memory, so it runs on this thread to its end.
        var before = GC.GetAllocatedBytesForCurrentThread();
        var started = ThreadTime.Now;
        var inspection = Inspecting.InPieces(file, 64 * 1024);
        if (UploadVerdict.Judge(image.DiskFormat, "bare", inspection).IsAccepted)
            await Inspecting.MapAsync(file, inspection.Format);

        Assert.InRange((ThreadTime.Now - started).TotalSeconds, 0, 2);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256L << 20);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Is_judged_the_same_however_it_is_cut(string name)
    {
        var file = Images[name].Bytes;
        var expected = Inspecting.Summary(Inspecting.InPieces(file, Math.Max(1, file.Length)));
        foreach (var pieceBytes in new[] { 1, 7, 512, 65537 })
            Assert.Equal(expected, Inspecting.Summary(Inspecting.InPieces(file, pieceBytes)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Is_judged_the_same_where_it_lies(string name)
    {
        var file = Images[name].Bytes;
        var tail = Math.Max(0, file.Length - 2048);
        byte[] longer = [.. file.AsSpan(0, tail), .. new byte[2 << 20], .. file.AsSpan(tail)];
        foreach (var bytes in new[] { file, longer })
        {
            var (found, read) = await Inspecting.InPlaceAsync(bytes);
            Assert.Equal(Inspecting.Summary(Inspecting.InPieces(bytes, 4096)), Inspecting.Summary(found));
            Assert.InRange(read, 0, 1_400_000); // the head, a region and the tail
        }
    }

    [Fact]
    public void Random_cuts_change_no_verdict()
    {
        var images = Images.Values.ToArray();
        var cutImages =
            from image in Gen.Elements(images)
            from cuts in Gen.Choose(0, image.Bytes.Length).ListOf(20)
            select (image, cuts);

        Prop.ForAll(cutImages.ToArbitrary(), pair =>
                Inspecting.Summary(Inspecting.CutAt(pair.image.Bytes, pair.cuts))
                == Inspecting.Summary(Inspecting.InPieces(pair.image.Bytes, int.MaxValue)))
            .QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Random_damage_never_throws()
    {
        var seeds = Images.Values.Select(image => image.Bytes).Where(bytes => bytes.Length > 16).ToArray();
        var damaged =
            from seed in Gen.Elements(seeds)
            from spots in Gen.Choose(0, Math.Min(seed.Length, 0x31000) - 1).ListOf(12)
            from values in Gen.Choose(0, 255).ListOf(12)
            select spots.Zip(values).Aggregate((byte[])seed.Clone(), (bytes, spot) =>
            {
                bytes[spot.First % 1024] = (byte)spot.Second;
                bytes[spot.First] = (byte)spot.Second;
                return bytes;
            });

        Prop.ForAll(damaged.ToArbitrary(), file => Inspecting.InPieces(file, 4096).Length == file.Length)
            .QuickCheckThrowOnFailure();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void An_early_refusal_is_the_final_one(string name)
    {
        var image = Images[name];
        var inspector = new FormatInspector();
        inspector.Feed(image.Bytes);
        var early = UploadVerdict.JudgeEarly(image.DiskFormat, inspector);
        var final = UploadVerdict.Judge(image.DiskFormat, "bare", inspector.Finish());

        if (early is not null && final.Refusal!.Error != FormatError.AmbiguousFormat)
            Assert.Equal(final.Refusal, early);
    }

    [Fact]
    public void A_backing_file_is_refused_before_the_rest_has_passed()
    {
        var inspector = new FormatInspector();
        inspector.Feed(new QcowBytes { Backing = "/etc/passwd" }.ToBytes().AsSpan(0, 64 * 1024));

        Assert.Equal(FormatError.BackingFileRefused, inspector.EarlyRefusal?.Error);
    }
}
