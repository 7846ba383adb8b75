using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteMetadefEditorTests(TestDatabases databases)
    : MetadefEditorContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresMetadefEditorTests(TestDatabases databases)
    : MetadefEditorContract(databases, DatabaseKind.Postgres);

public abstract class MetadefEditorContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly Viewer Owner = new("p", IsAdmin: false);

    private MetadefEditor Editor => Database.Get<MetadefEditor>();

    private DateTimeOffset Now => Database.Time.GetUtcNow();

    [Fact]
    public async Task A_namespace_comes_back_with_everything_in_it()
    {
        var made = MetadefNamespace.Create(Settings("a") with { Description = "ü" }, Now);
        made.AddProperty("p", """{"title":"P","type":"string"}""", Now);
        made.AddObject(new MetadefObjectContent("o", "d", """["x"]""", """{"x":{}}"""), Now);
        made.AddTag("Tag", Now);
        made.Associate("OS::Nova::Flavor", "hw:", null, Now);
        await Editor.CreateAsync(made, Cancellation);

        var found = await FindAsync("a");
        Assert.Equal("ü", found!.Description);
        Assert.Equal(Now, found.CreatedAt);
        Assert.Equal("""{"title":"P","type":"string"}""", Assert.Single(found.Properties).Schema);
        var definition = Assert.Single(found.Objects);
        Assert.Equal(("o", "d", """["x"]""", """{"x":{}}"""),
            (definition.Name, definition.Description, definition.Required, definition.Properties));
        Assert.Equal("Tag", Assert.Single(found.Tags).Name);
        Assert.Equal("hw:", Assert.Single(found.Associations).Prefix);
        await using var db = await Database.OpenAsync();
        Assert.Equal(
            ["OS::Nova::Flavor"],
            (await MetadefQueries.ListResourceTypesAsync(db, Cancellation)).Select(t => t.Name));
    }

    [Fact]
    public async Task A_name_is_unique_when_made_and_when_changed()
    {
        await MakeAsync("a");
        await MakeAsync("b");
        Assert.Equal(ErrorCode.Conflict, (await Assert.ThrowsAsync<RegistryException>(() => MakeAsync("a"))).Code);
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => ChangeAsync("b", n => n.Replace(Settings("a"), Now)));
        Assert.Equal(ErrorCode.Conflict, refusal.Code);
        await ChangeAsync("b", n => n.Replace(Settings("c"), Now));
        Assert.Null(await FindAsync("b"));
        Assert.NotNull(await FindAsync("c"));
    }

    [Fact]
    public async Task Parts_are_replaced_renamed_and_removed()
    {
        await MakeAsync("a");
        await ChangeAsync("a", n =>
        {
            n.AddProperty("p", "1", Now);
            n.AddProperty("q", "2", Now);
            n.AddObject(new MetadefObjectContent("o", null, null, null), Now);
            n.ReplaceTags(["red", "green"], Now);
            n.Associate("t", null, null, Now);
        });
        Database.Time.Advance(TimeSpan.FromMinutes(1));
        await ChangeAsync("a", n =>
        {
            n.ReplaceProperty("p", "r", "3", Now);
            n.ReplaceProperty("q", "q", "4", Now);
            n.ReplaceObject("o", new MetadefObjectContent("o2", "d", null, null), Now);
            n.ReplaceTags(["RED", "blue"], Now);
            n.Dissociate("t");
            Assert.Throws<RegistryException>(() => n.ReplaceProperty("q", "r", "", Now));
            Assert.Throws<RegistryException>(() => n.AddTag("Blue", Now));
        });

        var found = await FindAsync("a");
        Assert.Equal(["q=4", "r=3"], found!.Properties.Select(p => $"{p.Name}={p.Schema}").Order());
        Assert.Equal("o2", Assert.Single(found.Objects).Name);
        Assert.Equal(["RED", "blue"], found.Tags.Select(t => t.Name).Order(StringComparer.Ordinal));
        Assert.Empty(found.Associations);
        Assert.Equal(TimeSpan.FromMinutes(1), found.FindProperty("r").UpdatedAt - found.FindProperty("r").CreatedAt);
    }

    [Fact]
    public async Task Changes_at_once_are_all_kept()
    {
        await MakeAsync("a");
        await Task.WhenAll(Enumerable.Range(0, 8).Select(
            i => Task.Run(() => ChangeAsync("a", n => n.AddTag($"t{i}", Now)))));
        Assert.Equal(8, (await FindAsync("a"))!.Tags.Count);
    }

    [Fact]
    public async Task What_is_named_first_by_several_at_once_is_one_type_of_resources()
    {
        await Task.WhenAll(Enumerable.Range(0, 6).Select(i => Task.Run(() =>
        {
            var made = MetadefNamespace.Create(Settings($"n{i}"), Now);
            made.Associate("x", null, null, Now);
            made.Associate("y", null, null, Now);
            return Editor.CreateAsync(made, Cancellation);
        })));
        await using var db = await Database.OpenAsync();
        Assert.Equal(["x", "y"], (await MetadefQueries.ListResourceTypesAsync(db, Cancellation)).Select(t => t.Name));
    }

    [Fact]
    public async Task A_protected_namespace_and_what_is_in_it_stay()
    {
        await MakeAsync("a", isProtected: true);
        await ChangeAsync("a", n => n.AddTag("t", Now));
        foreach (var removal in (Action<MetadefNamespace>[])
            [n => n.RemoveTag("t"), n => n.ClearTags(), n => n.ClearObjects(), n => n.ClearProperties()])
        {
            var refusal = await Assert.ThrowsAsync<RegistryException>(() => ChangeAsync("a", removal));
            Assert.Equal(ErrorCode.Protected, refusal.Code);
        }

        Assert.Equal(
            ErrorCode.Protected,
            (await Assert.ThrowsAsync<RegistryException>(
                () => Editor.DeleteAsync("a", Owner, _ => { }, Cancellation))).Code);
        await ChangeAsync("a", n => n.Replace(Settings("a"), Now));
        await Editor.DeleteAsync("a", Owner, _ => { }, Cancellation);
        Assert.Null(await FindAsync("a"));
    }

    [Fact]
    public async Task Everybody_sees_what_is_public_or_nobodys_and_a_project_its_own()
    {
        await MakeAsync("own");
        await MakeAsync("public", owner: "other", isPublic: true);
        await MakeAsync("private", owner: "other");
        await MakeAsync("nobodys", owner: null);
        Assert.Equal(["nobodys", "own", "public"], await NamesAsync(Owner));
        Assert.Equal(["nobodys", "public"], await NamesAsync(new Viewer(null, IsAdmin: false)));
        Assert.Equal(["nobodys", "own", "private", "public"], await NamesAsync(Viewer.System));
        Assert.Equal(["public"], await NamesAsync(Owner, new() { IsPublic = true }));
        Assert.Equal(["nobodys", "own"], await NamesAsync(Owner, new() { IsPublic = false }));
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Editor.ChangeAsync("private", Owner, _ => Assert.Fail("It was shown."), Cancellation));
        Assert.Equal(ErrorCode.NotFound, refusal.Code);
    }

    [Theory]
    [InlineData(MetadefSortKey.Name)]
    [InlineData(MetadefSortKey.CreatedAt)]
    [InlineData(MetadefSortKey.UpdatedAt)]
    public async Task Pages_hold_every_namespace_once_in_order(MetadefSortKey key)
    {
        // Two at a time were made at the same moment, and the names are in another order than the times.
        string[] names = ["d", "B", "a", "E", "c", "f", "A"];
        for (var i = 0; i < names.Length; i++)
        {
            Database.Time.Advance(TimeSpan.FromSeconds(i % 2));
            await MakeAsync(names[i]);
        }

        Database.Time.Advance(TimeSpan.FromSeconds(1));
        await ChangeAsync("B", n => n.Replace(Settings("B"), Now));
        var all = new List<MetadefNamespace>();
        foreach (var name in names)
        {
            all.Add((await FindAsync(name))!);
        }

        var expected = all.OrderBy(n => key switch
            {
                MetadefSortKey.CreatedAt => n.CreatedAt.Ticks,
                MetadefSortKey.UpdatedAt => n.UpdatedAt.Ticks,
                _ => 0,
            })
            .ThenBy(n => n.Name, StringComparer.Ordinal).Select(n => n.Name).ToList();
        foreach (var isDescending in (bool[])[false, true])
        {
            var listed = new List<string>();
            for (string? marker = null; listed.Count <= names.Length;)
            {
                var page = await ListAsync(
                    Owner, new() { SortKey = key, IsDescending = isDescending, Limit = 2, Marker = marker });
                listed.AddRange(page.Select(n => n.Name));
                if (page.Count < 2)
                {
                    break;
                }

                marker = page[^1].Name;
            }

            Assert.Equal(isDescending ? Enumerable.Reverse(expected) : expected, listed);
        }

        Assert.Empty(await ListAsync(Owner, new() { Limit = 0 }));
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => ListAsync(Owner, new() { Marker = "none" }));
        Assert.Equal(ErrorCode.NotFound, refusal.Code);
    }

    [Fact]
    public async Task A_list_is_of_those_for_any_of_some_types_of_resources()
    {
        await MakeAsync("a");
        await MakeAsync("b");
        await MakeAsync("c");
        await ChangeAsync("a", n => n.Associate("x", null, null, Now));
        await ChangeAsync("b", n => n.Associate("y", null, null, Now));
        Assert.Equal(["a", "b"], await NamesAsync(Owner, new() { ResourceTypes = ["x", "y", "z"] }));
        Assert.Equal(["b"], await NamesAsync(Owner, new() { ResourceTypes = ["y"] }));
        Assert.Empty(await NamesAsync(Owner, new() { ResourceTypes = ["z"] }));
    }

    private static MetadefSettings Settings(string name) => new(name, null, null, false, false, "p");

    private Task MakeAsync(
        string name, string? owner = "p", bool isPublic = false, bool isProtected = false) => Editor.CreateAsync(
        MetadefNamespace.Create(
            Settings(name) with { Owner = owner, IsPublic = isPublic, IsProtected = isProtected }, Now),
        Cancellation);

    private Task<MetadefNamespace> ChangeAsync(string name, Action<MetadefNamespace> change) =>
        Editor.ChangeAsync(name, Owner, change, Cancellation);

    private async Task<MetadefNamespace?> FindAsync(string name)
    {
        await using var db = await Database.OpenAsync();
        return await MetadefQueries.FindAsync(db, name, Viewer.System, tracking: false, Cancellation);
    }

    private async Task<IReadOnlyList<MetadefNamespace>> ListAsync(Viewer viewer, MetadefListRequest request)
    {
        await using var db = await Database.OpenAsync();
        return await MetadefQueries.ListAsync(db, request, viewer, Cancellation);
    }

    private async Task<IReadOnlyList<string>> NamesAsync(Viewer viewer, MetadefListRequest? request = null) =>
        [.. (await ListAsync(viewer, request ?? new())).Select(n => n.Name).Order(StringComparer.Ordinal)];
}
