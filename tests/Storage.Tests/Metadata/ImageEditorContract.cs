using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteImageEditorTests(TestDatabases databases)
    : ImageEditorContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresImageEditorTests(TestDatabases databases)
    : ImageEditorContract(databases, DatabaseKind.Postgres);

public abstract class ImageEditorContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly Viewer Owner = new("p", IsAdmin: false);

    [Fact]
    public async Task Everything_said_at_creation_reads_back()
    {
        var image = Image.Create(Images.NewId().ToUpperInvariant(), "p", Database.Time.GetUtcNow().AddTicks(10));
        (image.Name, image.MinDisk, image.MinRam, image.IsHidden) = ("naïve ☃", 7, 8, true);
        image.ReplaceTags(["b", "a", "b"]);
        image.SetProperty("os_distro", new string('x', 20_000));
        await Database.Editor.CreateAsync(image, Cancellation);

        await using var db = await Database.OpenAsync();
        var loaded = await ImageQueries.FindAsync(db, image.Id, Owner, tracking: false, Cancellation);
        Assert.NotNull(loaded);
        Assert.Equal(
            (image.Id, "naïve ☃", 7, 8, true),
            (loaded.Id, loaded.Name, loaded.MinDisk, loaded.MinRam, loaded.IsHidden));
        Assert.Equal(image.CreatedAt, loaded.CreatedAt);
        Assert.Equal(["a", "b"], loaded.Tags.Select(t => t.Value).Order());
        Assert.Equal(new string('x', 20_000), loaded.FindProperty("os_distro"));
        Assert.Null(
            await ImageQueries.FindAsync(db, image.Id.ToLowerInvariant(), Owner, tracking: false, Cancellation));
    }

    [Fact]
    public async Task Of_eight_images_with_one_id_one_is_created()
    {
        var id = Images.NewId();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            try
            {
                await Database.Editor.CreateAsync(Image.Create(id, $"p{i}", Images.Now), Cancellation);
                return "created";
            }
            catch (RegistryException refusal)
            {
                return refusal.Code.ToString();
            }
        })));
        Assert.Equal(1, outcomes.Count(outcome => outcome == "created"));
        Assert.Equal(7, outcomes.Count(outcome => outcome == nameof(ErrorCode.DuplicateId)));
    }

    [Fact]
    public async Task The_id_of_a_deleted_image_is_never_free_again()
    {
        var image = Images.Queued();
        image.AddTag("t");
        image.AddMember("q", Images.Now);
        await Database.Editor.CreateAsync(image, Cancellation);
        await Database.Editor.DeleteAsync(image.Id, Cancellation);

        await using var db = await Database.OpenAsync();
        Assert.Null(await ImageQueries.FindAsync(db, image.Id, Viewer.System, tracking: false, Cancellation));
        Assert.False(await db.Tags.AnyAsync(Cancellation));
        Assert.False(await db.Members.AnyAsync(Cancellation));
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Database.Editor.CreateAsync(Image.Create(image.Id, "p", Images.Now), Cancellation));
        Assert.Equal(ErrorCode.DuplicateId, refusal.Code);
        var again = await Assert.ThrowsAsync<RegistryException>(
            () => Database.Editor.DeleteAsync(image.Id, Cancellation));
        Assert.Equal(ErrorCode.NotFound, again.Code);
    }

    [Fact]
    public async Task A_protected_image_is_not_deleted()
    {
        var image = Images.Queued();
        (image.IsProtected, image.Visibility) = (true, ImageVisibility.Public);
        await Database.Editor.CreateAsync(image, Cancellation);
        Assert.Equal(ErrorCode.Protected, (await Assert.ThrowsAsync<RegistryException>(
            () => Database.Editor.DeleteAsync(image.Id, Cancellation))).Code);
    }

    [Fact]
    public async Task Concurrent_changes_follow_one_another()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(() => Database.Editor.ChangeAsync(
            image.Id,
            Owner,
            changed => (changed.MinRam, _) = (changed.MinRam + 1, changed.AddTag($"t{i}")),
            Cancellation))));
        await using var db = await Database.OpenAsync();
        var loaded = await ImageQueries.FindAsync(db, image.Id, Owner, tracking: false, Cancellation);
        Assert.Equal((20, 20), (loaded!.MinRam, loaded.Tags.Count));
    }

    [Fact]
    public async Task A_change_that_is_refused_changes_nothing()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        await Assert.ThrowsAsync<RegistryException>(() => Database.Editor.ChangeAsync(
            image.Id,
            Owner,
            changed =>
            {
                changed.Name = "x";
                changed.Activate(Images.Result(), Images.Now);
                throw new RegistryException(ErrorCode.BadRequest, "no");
            },
            Cancellation));
        await using var db = await Database.OpenAsync();
        var loaded = await ImageQueries.FindAsync(db, image.Id, Owner, tracking: false, Cancellation);
        Assert.Equal((null, ImageStatus.Queued, 1L), (loaded!.Name, loaded.Status, loaded.Revision));
    }

    [Fact]
    public async Task An_image_is_shown_to_whom_it_may_concern()
    {
        var mine = new Viewer("p", false);
        var members = new Viewer("m", false);
        var strangers = new Viewer("s", false);
        var nobodys = new Viewer(null, false);
        Viewer[] all = [mine, members, strangers, nobodys, Viewer.System];
        await ShownToAsync(ImageVisibility.Public, "p", all);
        await ShownToAsync(ImageVisibility.Community, "p", all);
        await ShownToAsync(ImageVisibility.Shared, "p", [mine, members, Viewer.System]);
        await ShownToAsync(ImageVisibility.Private, "p", [mine, Viewer.System]);
        await ShownToAsync(ImageVisibility.Shared, null, all);

        async Task ShownToAsync(ImageVisibility visibility, string? owner, Viewer[] expected)
        {
            var image = Image.Create(Images.NewId(), owner, Images.Now);
            image.Visibility = visibility;
            image.AddMember("m", Images.Now).Answer(MemberStatus.Rejected, Images.Now);
            await Database.Editor.CreateAsync(image, Cancellation);
            await using var db = await Database.OpenAsync();
            foreach (var viewer in all)
            {
                var found = await ImageQueries.FindAsync(db, image.Id, viewer, tracking: false, Cancellation);
                Assert.Equal(expected.Contains(viewer), found is not null);
            }
        }
    }
}
