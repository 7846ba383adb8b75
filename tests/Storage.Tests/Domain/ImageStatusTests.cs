using Registry.Storage.Domain;

namespace Registry.Storage.Tests.Domain;

public sealed class ImageStatusTests
{
    // spec/glance-v2.md section 3.2, word for word.
    private const string Spec = """
        queued -> saving, uploading, importing, active, deleted; saving -> active, killed, deleted, queued;
        uploading -> importing, queued, deleted; importing -> active, deleted, queued;
        active -> deactivated, pending_delete, deleted; deactivated -> active, deleted;
        pending_delete -> deleted, active; killed -> deleted; deleted -> none
        """;

    [Fact]
    public void The_table_is_the_one_of_the_specification()
    {
        var lines = Spec.ReplaceLineEndings(" ").Split(';', StringSplitOptions.TrimEntries);
        Assert.Equal(Enum.GetValues<ImageStatus>().Length, lines.Length);
        foreach (var line in lines)
        {
            var sides = line.Split(" -> ");
            var targets = sides[1].Split(", ");
            Assert.True(ImageStatuses.TryParse(sides[0], out var from), sides[0]);
            foreach (var to in Enum.GetValues<ImageStatus>())
            {
                Assert.Equal(targets.Contains(ImageStatuses.Name(to)), ImageStatuses.CanMove(from, to));
            }
        }
    }

    [Fact]
    public void Every_name_reads_back()
    {
        foreach (var status in Enum.GetValues<ImageStatus>())
        {
            Assert.True(ImageStatuses.TryParse(ImageStatuses.Name(status), out var read));
            Assert.Equal(status, read);
        }

        Assert.False(ImageStatuses.TryParse("Active", out _));
        Assert.False(ImageStatuses.TryParse(null, out _));
    }

    [Fact]
    public void A_second_upload_is_refused_in_glances_words()
    {
        var image = Images.Active();
        var refusal = Assert.Throws<RegistryException>(() => image.BeginUpload(Images.Now));
        Assert.Equal(ErrorCode.InvalidStatusTransition, refusal.Code);
        Assert.Equal("Image status transition from active to saving is not allowed", refusal.Message);
    }

    [Fact]
    public void An_upload_given_up_leaves_the_image_queued_without_sizes_and_says_why()
    {
        var image = Images.Queued();
        image.BeginUpload(Images.Now);
        image.AbandonUpload("too_large", "It was too large.", Images.Now);
        Assert.Equal(ImageStatus.Queued, image.Status);
        Assert.Null(image.Size);
        Assert.Null(image.VirtualSize);
        Assert.Equal(("too_large", "It was too large."), (image.FailureCode, image.FailureReason));

        image.BeginUpload(Images.Now);
        Assert.Null(image.FailureCode);
        Assert.Equal(2, image.Generation);
    }

    [Fact]
    public void Bytes_need_both_formats()
    {
        var image = Images.Queued();
        image.DiskFormat = null;
        image.BeginUpload(Images.Now);
        var refusal = Assert.Throws<RegistryException>(() => image.Activate(Images.Result(), Images.Now));
        Assert.Equal("Property disk_format must be set prior to saving data.", refusal.Message);
        Assert.Equal(ImageStatus.Saving, image.Status);
        image.ContainerFormat = null;
        refusal = Assert.Throws<RegistryException>(() => image.Activate(Images.Result(), Images.Now));
        Assert.Equal("Properties disk_format, container_format must be set prior to saving data.", refusal.Message);
        image.ContainerFormat = "bare";
        image.Activate(Images.Result() with { DiskFormat = "raw" }, Images.Now);
        Assert.Equal((ImageStatus.Active, "raw"), (image.Status, image.DiskFormat));
    }

    [Fact]
    public void Deactivating_twice_is_no_error_but_a_queued_image_cannot_be()
    {
        var image = Images.Active();
        image.Deactivate(Images.Now);
        image.Deactivate(Images.Now);
        image.Reactivate(Images.Now);
        Assert.Equal(ImageStatus.Active, image.Status);
        Assert.Equal(
            ErrorCode.Forbidden, Assert.Throws<RegistryException>(() => Images.Queued().Deactivate(Images.Now)).Code);
    }

    [Fact]
    public void A_protected_image_is_not_deleted()
    {
        var image = Images.Active();
        image.IsProtected = true;
        Assert.Equal(ErrorCode.Protected, Assert.Throws<RegistryException>(() => image.Delete(Images.Now)).Code);
    }

    [Theory]
    [InlineData("0123456789abcdef0123456789abcdef")]
    [InlineData("{12345678-1234-1234-1234-123456789abc}")]
    [InlineData("12345678-1234-1234-1234-123456789abg")]
    [InlineData("+2345678-1234-1234-1234-123456789abc")]
    [InlineData("0x345678-1234-1234-1234-123456789abc")]
    [InlineData("../../../../../../../../../../etc/pa")]
    [InlineData("")]
    public void Only_a_canonical_uuid_is_an_id(string id) =>
        Assert.Throws<ArgumentException>(() => Image.Create(id, "p", Images.Now));

    [Fact]
    public void Times_are_whole_microseconds_in_utc()
    {
        var image = Image.Create(
            Images.NewId(), "p", new DateTimeOffset(2026, 1, 1, 2, 0, 0, TimeSpan.FromHours(2)).AddTicks(7));
        Assert.Equal(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), image.CreatedAt);
        Assert.Equal(TimeSpan.Zero, image.CreatedAt.Offset);
    }
}
