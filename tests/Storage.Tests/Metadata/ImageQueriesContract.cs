using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteImageQueriesTests(TestDatabases databases)
    : ImageQueriesContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresImageQueriesTests(TestDatabases databases)
    : ImageQueriesContract(databases, DatabaseKind.Postgres);

public abstract class ImageQueriesContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private const int ImagesInAll = 160;

    private static readonly Viewer Admin = new("p1", IsAdmin: true);
    private static readonly Viewer Project = new("p1", IsAdmin: false);
    private static readonly Viewer[] Viewers =
        [Admin, Project, new("p2", false), new("nobody else", false), new(null, false), Viewer.System];

    [Fact]
    public async Task Random_lists_are_what_the_plain_way_computes_page_by_page()
    {
        var all = await SeedAsync();
        await using var db = await Database.OpenAsync();
        var check = Prop.ForAll(
            Requests(all).Zip(Gen.Elements(Viewers)).Zip(Gen.Elements(1, 3, 7, 50, 1000)).ToArbitrary(),
            pair =>
            {
                var ((request, viewer), limit) = pair;
                var expected = ListModel.Ids(all, request, viewer);
                var actual = PagesAsync(db, request with { Limit = limit }, viewer).GetAwaiter().GetResult();
                Assert.Equal(expected, actual);
            });
        check.Check(Config.QuickThrowOnFailure.WithMaxTest(150).WithQuietOnSuccess(true));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(60)]
    [InlineData(100_000)]
    public async Task A_page_that_is_completed_in_batches_is_the_same_in_the_same_order(int charsMax)
    {
        await SeedAsync();
        await using var db = await Database.OpenAsync();
        var request = new ImageListRequest { Limit = 1000, AllVisibilities = true };
        var whole = await ImageQueries.ListAsync(db, request, Viewer.System, Cancellation);
        var page = await ImageQueries.PageAsync(db, request, Viewer.System, Cancellation);
        var listed = new List<Image>();
        await foreach (var (images, chars) in ImageQueries.CompleteAsync(
            Database.Get<IDbContextFactory<RegistryDb>>(), page, charsMax, Cancellation))
        {
            Assert.True(images.Count == 1 || chars <= charsMax, $"{images.Count} images with {chars} characters");
            listed.AddRange(images);
        }

        Assert.Empty(page);
        Assert.Equal(whole.Select(Described), listed.Select(Described));

        static string Described(Image image) => string.Join(
            ' ', image.Id, string.Join(',', image.Tags.Select(t => t.Value).Order(StringComparer.Ordinal)),
            string.Join(',', image.Properties.Select(p => p.Name + p.Value).Order(StringComparer.Ordinal)),
            string.Join(',', image.Locations.Select(l => l.StoreId)));
    }

    [Fact]
    public async Task A_page_brings_tags_properties_and_locations()
    {
        var all = await SeedAsync();
        await using var db = await Database.OpenAsync();
        var page = await ImageQueries.ListAsync(
            db, new() { Limit = 1000, AllVisibilities = true }, Viewer.System, Cancellation);
        Assert.NotEmpty(page);
        foreach (var image in page)
        {
            var expected = all.Single(other => other.Id == image.Id);
            Assert.Equal(expected.Tags.Select(t => t.Value).Order(), image.Tags.Select(t => t.Value).Order());
            Assert.Equal(
                expected.Properties.Select(p => (p.Name, p.Value)).Order(),
                image.Properties.Select(p => (p.Name, p.Value)).Order());
            Assert.Equal(expected.Locations.Count, image.Locations.Count);
            Assert.Equal(
                image.Locations.OrderBy(l => l.CreatedAt).ThenBy(l => l.StoreId, StringComparer.Ordinal), image.Locations);
        }
    }

    [Fact]
    public async Task An_image_that_is_shown_is_the_one_that_can_be_changed()
    {
        var all = await SeedAsync();
        await using var db = await Database.OpenAsync();
        foreach (var viewer in new[] { Viewer.System, Project, new Viewer(ProjectId: null, IsAdmin: false) })
        {
            foreach (var id in all.Select(image => image.Id))
            {
                db.ChangeTracker.Clear();
                var shown = await ImageQueries.FindAsync(db, id, viewer, tracking: false, Cancellation);
                Assert.Equal(shown?.Locations.OrderBy(l => l.CreatedAt), shown?.Locations);
                var changed = await ImageQueries.FindAsync(db, id, viewer, tracking: true, Cancellation);
                Assert.Equal(Told(changed), Told(shown));
            }
        }

        static string? Told(Image? image) => image is null ? null : JsonSerializer.Serialize(new
        {
            image.Id,
            image.Name,
            image.Owner,
            image.UpdatedAt,
            image.Revision,
            Tags = image.Tags.Select(tag => tag.Value).Order(StringComparer.Ordinal),
            Properties = image.Properties.OrderBy(p => p.Name, StringComparer.Ordinal).Select(p => (p.Name, p.Value).ToString()),
            Locations = image.Locations.OrderBy(l => l.StoreId, StringComparer.Ordinal).Select(l => (l.StoreId, l.Key).ToString()),
        });
    }

    [Fact]
    public async Task A_marker_that_does_not_exist_is_a_bad_request_and_one_unseen_is_forbidden()
    {
        var hidden = Images.Queued("other");
        hidden.Visibility = ImageVisibility.Private;
        await Database.Editor.CreateAsync(hidden, Cancellation);
        await using var db = await Database.OpenAsync();
        Assert.Equal(ErrorCode.BadRequest, (await Assert.ThrowsAsync<RegistryException>(() =>
            ImageQueries.ListAsync(db, new() { Marker = Images.NewId() }, Project, Cancellation))).Code);
        Assert.Equal(ErrorCode.Forbidden, (await Assert.ThrowsAsync<RegistryException>(() =>
            ImageQueries.ListAsync(db, new() { Marker = hidden.Id }, Project, Cancellation))).Code);
    }

    [Fact]
    public async Task A_page_does_not_break_because_its_marker_was_deleted_meanwhile()
    {
        var images = new List<Image>();
        for (var i = 0; i < 4; i++)
        {
            var image = Image.Create(Images.NewId(), "p1", Images.Now.AddSeconds(-i));
            await Database.Editor.CreateAsync(image, Cancellation);
            images.Add(image);
        }

        await using var db = await Database.OpenAsync();
        var first = await ImageQueries.ListAsync(db, new() { Limit = 2 }, Project, Cancellation);
        await Database.Editor.DeleteAsync(first[^1].Id, Cancellation);
        var second = await ImageQueries.ListAsync(
            db, new() { Limit = 2, Marker = first[^1].Id }, Project, Cancellation);
        Assert.Equal(images.Skip(2).Select(i => i.Id), second.Select(i => i.Id));
    }

    [Fact]
    public async Task A_limit_of_zero_lists_nothing()
    {
        await Database.Editor.CreateAsync(Images.Queued("p1"), Cancellation);
        await using var db = await Database.OpenAsync();
        Assert.Empty(await ImageQueries.ListAsync(db, new() { Limit = 0 }, Project, Cancellation));
    }

    [Theory]
    [InlineData(99)]
    [InlineData(100)]
    [InlineData(101)]
    public async Task A_property_is_found_by_its_whole_value(int length)
    {
        foreach (var extra in new[] { "", "x", "y" })
        {
            var image = Image.Create(Images.NewId(), "p1", Images.Now);
            image.SetProperty("long", new string('x', length) + extra);
            await Database.Editor.CreateAsync(image, Cancellation);
        }

        await using var db = await Database.OpenAsync();
        var value = new string('x', length);
        var found = await ImageQueries.ListAsync(db, new() { Properties = [new("long", value)] }, Project, Cancellation);
        Assert.Equal(value, Assert.Single(Assert.Single(found).Properties).Value);
    }

    private static async Task<List<string>> PagesAsync(RegistryDb db, ImageListRequest request, Viewer viewer)
    {
        var ids = new List<string>();
        while (true)
        {
            var page = await ImageQueries.ListAsync(db, request, viewer, Cancellation);
            ids.AddRange(page.Select(image => image.Id));
            Assert.True(ids.Count <= ImagesInAll, "pages repeat themselves");
            if (page.Count < request.Limit)
            {
                return ids;
            }

            request = request with { Marker = page[^1].Id };
        }
    }

    private async Task<List<Image>> SeedAsync()
    {
        var random = new System.Random(7);
        var all = Enumerable.Range(0, ImagesInAll).Select(_ => RandomImage(random)).ToList();
        await using var db = await Database.OpenAsync();
        db.Images.AddRange(all);
        await db.SaveChangesAsync(Cancellation);
        return all;
    }

    private static Image RandomImage(System.Random random)
    {
        var created = Images.Now.AddSeconds(random.Next(6)).AddMicroseconds(random.Next(2) * 500);
        var image = Image.Create(Images.NewId(), Pick<string?>("p1", "p2", "p3", null), created);
        image.Name = Pick<string?>(null, "", "a", "B", "ä", "a b", "z_");
        image.Visibility = Pick(Enum.GetValues<ImageVisibility>());
        image.DiskFormat = Pick<string?>(null, "raw", "qcow2");
        image.ContainerFormat = Pick<string?>(null, "bare", "ova");
        (image.MinDisk, image.MinRam) = (random.Next(3), random.Next(3));
        (image.IsHidden, image.IsProtected) = (random.Next(6) == 0, random.Next(4) == 0);
        image.ReplaceTags(new[] { "t1", "t2", "t3" }.Where(_ => random.Next(2) == 0));
        image.SetProperty("os_distro", Pick("debian", "ubuntu", new string('x', 150), new string('x', 151)));
        foreach (var member in new[] { "p1", "p2" }.Where(_ => random.Next(2) == 0))
        {
            image.AddMember(member, created).Answer(Pick(Enum.GetValues<MemberStatus>()), created);
        }

        Advance(image, created.AddSeconds(random.Next(3)));
        return image;

        T Pick<T>(params T[] values) => values[random.Next(values.Length)];

        void Advance(Image moved, DateTimeOffset now)
        {
            var steps = random.Next(5);
            if (steps == 0)
            {
                return;
            }

            moved.BeginUpload(now);
            if (steps == 1 || moved.ContainerFormat is null || moved.DiskFormat is null)
            {
                return;
            }

            moved.Activate(
                Images.Result() with
                {
                    Size = random.Next(3),
                    VirtualSize = Pick<long?>(null, 0, 5),
                    Checksum = Pick("c1", "c2"),
                    HashValue = Pick("h1", "h2"),
                },
                now);
            foreach (var store in new[] { "s2", "s1" }.Take(Pick(1, 2)))
            {
                moved.AddLocation(new ImageLocation(
                    new(moved.Id, moved.Generation), store, moved.Size!.Value, 68, new byte[32],
                    now.AddSeconds(store == "s1" ? 1 : 0)));
            }

            if (steps == 3)
            {
                moved.Deactivate(now);
            }
            else if (steps == 4 && !moved.IsProtected && random.Next(3) == 0)
            {
                moved.Delete(now);
            }
        }
    }

    // Each filter is there one time in five or so, so that a good part of the lists is not empty.
    private static Gen<ImageListRequest> Requests(List<Image> all)
    {
        var number = Numbers();
        var times = Gen.Elements(Enum.GetValues<TimeComparison>())
            .Zip(Gen.Elements(all.Select(i => i.CreatedAt).Concat([Images.Now.AddSeconds(2)]).ToArray()))
            .Select(pair => new TimeFilter(pair.Item1, pair.Item2))
            .ListOf(1).Select(list => list.ToList());
        var sorts = Gen.Elements(Enum.GetValues<ImageSortKey>()).Zip(Gen.Elements(true, false))
            .Select(pair => new ImageSort(pair.Item1, pair.Item2)).ListOf().Resize(3)
            .Select(list => list.DistinctBy(sort => sort.Key).Take(3).ToList());
        return
            from sort in sorts
            from visibility in Rarely(Gen.Elements(Enum.GetValues<ImageVisibility>()).Select(v => (ImageVisibility?)v))
            from isAll in Gen.Elements(true, false)
            from answer in Gen.Elements<MemberStatus?>(
                MemberStatus.Accepted, MemberStatus.Accepted, MemberStatus.Pending, null)
            from isHidden in Gen.Elements(false, false, false, true)
            from isProtected in Rarely(Gen.Elements<bool?>(true, false))
            from owner in Rarely(Gen.Elements<string?>("p1", "p2"))
            from words in Words()
            from size in number
            from virtualSize in number
            from minRam in number
            from created in Rarely(times!)
            from updated in Rarely(times!)
            select words with
            {
                Sort = sort,
                Visibility = visibility,
                AllVisibilities = isAll,
                MemberStatus = answer,
                IsHidden = isHidden,
                IsProtected = isProtected,
                Owner = owner,
                Size = size,
                VirtualSize = virtualSize,
                MinRam = minRam,
                MinDisk = new NumberFilter(null, minRam.Min, null),
                CreatedAt = created ?? [],
                UpdatedAt = updated ?? [],
            };
    }

    private static Gen<ImageListRequest> Words() =>
        from names in Rarely(Gen.Elements<string[]?>(["a"], ["B", "ä"], [""], []))
        from statuses in Rarely(
            Gen.Elements<string[]?>(["active"], ["queued", "deactivated"], ["deleted"], ["nonsense"]))
        from formats in Rarely(Gen.Elements<string[]?>(["raw"], ["raw", "qcow2"]))
        from containers in Rarely(Gen.Elements<string[]?>(["bare"], ["x"]))
        from tags in Rarely(Gen.Elements<string[]?>(["t1"], ["t1", "t2"]))
        from distro in Rarely(Gen.Elements<string?>("debian", new string('x', 150)))
        from checksum in Rarely(Gen.Elements<string?>("c1"))
        from hash in Rarely(Gen.Elements<string?>("h2"))
        select new ImageListRequest
        {
            Names = names,
            Statuses = statuses,
            DiskFormats = formats,
            ContainerFormats = containers,
            Tags = tags ?? [],
            Properties = distro is null ? [] : [new("os_distro", distro)],
            Checksum = checksum,
            HashValue = hash,
            HashAlgorithm = hash is null ? null : "sha512",
        };

    private static Gen<NumberFilter> Numbers() =>
        from exact in Rarely(Gen.Elements<long?>(0, 1))
        from least in Rarely(Gen.Elements<long?>(0, 1, 2))
        from most in Rarely(Gen.Elements<long?>(0, 1, 5))
        select new NumberFilter(exact, least, most);

    private static Gen<T?> Rarely<T>(Gen<T?> some) => Gen.Frequency((9, Gen.Constant(default(T))), (1, some));
}
