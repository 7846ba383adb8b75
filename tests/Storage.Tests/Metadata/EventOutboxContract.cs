using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteEventOutboxTests(TestDatabases databases)
    : EventOutboxContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresEventOutboxTests(TestDatabases databases)
    : EventOutboxContract(databases, DatabaseKind.Postgres);

public abstract class EventOutboxContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Changes_and_only_they_are_noted_with_them()
    {
        await using var recording = Recording();
        var image = Images.Queued();
        image.SetProperty("b", "2");
        image.AddTag("t");
        await recording.Editor.CreateAsync(image, Cancellation);
        await Assert.ThrowsAsync<RegistryException>(() => recording.Editor.ChangeAsync(
            image.Id, Viewer.System, i =>
            {
                i.Name = "never";
                throw new RegistryException(ErrorCode.Forbidden, "no");
            },
            Cancellation));
        await recording.Editor.ChangeAsync(image.Id, Viewer.System, _ => { }, Cancellation);
        var intent = await recording.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await recording.Ledger.CommitAsync(intent, Images.Result(), Cancellation);
        await recording.Ledger.CommitAsync(intent, Images.Result(), Cancellation);
        await recording.Editor.ChangeAsync(
            image.Id, Viewer.System, i => i.AddMember("m", Images.Now), Cancellation);
        await recording.Editor.DeleteAsync(image.Id, Cancellation);

        await using var db = await recording.OpenAsync();
        var events = await db.Events.OrderBy(e => e.Number).ToListAsync(Cancellation);
        Assert.Equal(
            [
                "image.create", "image.prepare", "image.upload", "image.activate", "image.member.create", "image.delete",
            ],
            events.Select(e => e.Type));
        Assert.All(events, e => Assert.Equal(image.Id, e.Subject));
        Assert.All(events.Where(e => e.Type != "image.member.create"), e => Assert.Contains(
            "\"properties\":{\"b\":\"2\"},\"tags\":[\"t\"]", e.Data, StringComparison.Ordinal));
        Assert.Equal(6, events.Select(e => e.Id).Distinct().Count());
    }

    [Fact]
    public async Task An_upload_that_is_given_up_is_an_error_and_an_update()
    {
        await using var recording = Recording();
        var image = Images.Queued();
        await recording.Editor.CreateAsync(image, Cancellation);
        var intent = await recording.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await recording.Ledger.AbandonAsync(intent, "x", "x", Cancellation);
        await using var db = await recording.OpenAsync();
        Assert.Equal(
            ["image.create", "image.prepare", "image.upload.error", "image.update"],
            await db.Events.OrderBy(e => e.Number).Select(e => e.Type).ToListAsync(Cancellation));
    }

    [Fact]
    public async Task A_failed_upload_says_why()
    {
        await using var recording = Recording();
        var image = Images.Queued();
        await recording.Editor.CreateAsync(image, Cancellation);
        var intent = await recording.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await recording.Ledger.AbandonAsync(intent, "store_full", "The store is full.", Cancellation);
        await using var db = await recording.OpenAsync();
        var failed = await db.Events.SingleAsync(e => e.Type == "image.upload.error", Cancellation);
        Assert.StartsWith(
            "{\"error_code\":\"store_full\",\"error\":\"The store is full.\",\"id\":", failed.Data, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_life_of_a_task_is_noted_and_that_of_no_other_job()
    {
        await using var recording = Recording();
        var queue = recording.Get<JobQueue>();
        var again = await LeaseAsync("import");
        await queue.FailAsync(again.Lease, "x", "x", TimeSpan.Zero, Cancellation);
        again = (await queue.LeaseAsync(["import"], "w2", Lease, Cancellation))!;
        await queue.CompleteAsync(again.Lease, default, null, Cancellation);
        await queue.CompleteAsync(again.Lease, default, null, Cancellation); // too late
        var failed = await LeaseAsync("import");
        await queue.FailAsync(failed.Lease, "x", "x", retryIn: null, Cancellation);
        var cancelled = await queue.EnqueueAsync(new JobOrder("import", "{}"), Cancellation);
        await queue.CancelAsync(cancelled.Id, Cancellation);
        cancelled = (await queue.LeaseAsync(["import"], "w", Lease, Cancellation))!;
        await queue.CancelledAsync(cancelled.Lease, default, Cancellation);
        var other = await LeaseAsync("scrub");
        await queue.CompleteAsync(other.Lease, default, null, Cancellation);

        await using var db = await recording.OpenAsync();
        var events = await db.Events.OrderBy(e => e.Number).ToListAsync(Cancellation);
        Assert.Equal(["task.create", "task.run", "task.processing", "task.success"], TypesOf(again));
        Assert.Equal(["task.create", "task.run", "task.processing", "task.failure"], TypesOf(failed));
        Assert.Equal(["task.create", "task.failure"], TypesOf(cancelled));
        Assert.Empty(TypesOf(other));
        var done = events.Single(e => e.Type == "task.success").Data;
        Assert.Contains("\"type\":\"api_image_import\",\"status\":\"success\",\"result\":null", done, StringComparison.Ordinal);
        var ended = await db.Jobs.Where(j => j.Id == again.Id).Select(j => j.EndedAt).SingleAsync(Cancellation);
        Assert.Contains($"\"expires_at\":\"{ended!.Value.AddDays(2):yyyy-MM-dd'T'HH:mm:ss}Z\"", done, StringComparison.Ordinal);

        async Task<Job> LeaseAsync(string kind)
        {
            await queue.EnqueueAsync(new JobOrder(kind, "{}"), Cancellation);
            return (await queue.LeaseAsync([kind], $"w {Guid.NewGuid()}", Lease, Cancellation))!;
        }

        IEnumerable<string> TypesOf(Job job) => events.Where(e => e.Subject == job.Id.ToString("D")).Select(e => e.Type);
    }

    [Fact]
    public async Task What_is_done_to_metadata_definitions_is_noted_part_by_part()
    {
        await using var recording = Recording();
        var editor = recording.Get<MetadefEditor>();
        var definitions = MetadefNamespace.Create(new MetadefSettings("n", "N", null, true, false, "p"), Images.Now);
        definitions.AddTag("t", Images.Now);
        definitions.AddProperty("p", """{"type":"string","title":"P"}""", Images.Now);
        definitions.Associate("OS::Nova::Flavor", "hw:", null, Images.Now);
        await editor.CreateAsync(definitions, Cancellation);
        await ChangeAsync("n", n => n.AddObject(new MetadefObjectContent("o", null, """["a"]""", """{"a":{"type":"integer","title":"A"}}"""), Images.Now));
        await ChangeAsync("n", n => n.ReplaceObject("o", new MetadefObjectContent("o2", "d", null, null), Images.Now));
        await ChangeAsync("n", n => n.ReplaceProperty("p", "p", """{"type":"boolean","title":"P"}""", Images.Now));
        await ChangeAsync("n", n => n.RenameTag("t", "u", Images.Now));
        await ChangeAsync("n", n => n.Dissociate("OS::Nova::Flavor"));
        await ChangeAsync("n", n => n.RemoveObject("o2"));
        await ChangeAsync("n", n => n.ClearTags());
        await ChangeAsync("n", n => n.Replace(new MetadefSettings("m", "N", null, true, false, "p"), Images.Now));
        await editor.DeleteAsync("m", Viewer.System, _ => { }, Cancellation);

        await using var db = await recording.OpenAsync();
        var events = await db.Events.OrderBy(e => e.Number).ToListAsync(Cancellation);
        Assert.Equal(
            [
                "metadef_namespace.create n", "metadef_resource_type.create n", "metadef_property.create n",
                "metadef_tag.create n", "metadef_object.create n", "metadef_object.update n", "metadef_property.update n",
                "metadef_tag.update n", "metadef_resource_type.delete n", "metadef_object.delete n",
                "metadef_namespace.delete_tags n", "metadef_namespace.update m", "metadef_namespace.delete m",
            ],
            events.Select(e => $"{e.Type} {e.Subject}"));
        Has(0, "\"namespace\":\"n\",\"namespace_old\":\"n\",\"display_name\":\"N\",\"protected\":false,\"visibility\":\"public\"");
        Has(1, "\"name\":\"OS::Nova::Flavor\",\"name_old\":\"OS::Nova::Flavor\",\"prefix\":\"hw:\",\"properties_target\":null");
        Has(2, "\"namespace\":\"n\",\"name\":\"p\",\"name_old\":\"p\",\"type\":\"string\",\"title\":\"P\",\"description\":null");
        Has(4, "\"properties\":[{\"name\":\"a\",\"type\":\"integer\",\"title\":\"A\",");
        Has(4, "\"required\":[\"a\"]");
        Has(5, "\"name\":\"o2\",\"name_old\":\"o\",\"properties\":[],\"required\":null,\"description\":\"d\"");
        Has(7, "\"name\":\"u\",\"name_old\":\"t\"");
        Has(9, "\"deleted\":true,\"deleted_at\":\"2026-");
        Has(11, "\"namespace\":\"m\",\"namespace_old\":\"n\"");
        Has(12, "\"deleted\":true,\"deleted_at\":\"2026-");

        Task ChangeAsync(string name, Action<MetadefNamespace> change) =>
            editor.ChangeAsync(name, Viewer.System, change, Cancellation);

        void Has(int number, string text) => Assert.Contains(text, events[number].Data, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("image", "image.create image.member.create image.send image.upload.error", "task.create metadef_tag.create")]
    [InlineData("image.member", "image.member.delete", "image.create image.send")]
    [InlineData("image.send", "image.send image.send.error", "image.create")]
    [InlineData("image.update,task", "image.update task.run", "image.upload metadef_tag.create")]
    [InlineData("metadef_tag", "metadef_tag.delete", "metadef_namespace.delete_tags")]
    public void Words_stand_for_types_and_for_all_that_begin_so(string disabled, string unwanted, string wanted)
    {
        var selection = new EventSelection(disabled.Split(','));
        Assert.All(disabled.Split(','), word => Assert.True(EventSelection.IsKnown(word)));
        Assert.All(unwanted.Split(' '), type => Assert.False(selection.Wants(type)));
        Assert.All(wanted.Split(' '), type => Assert.True(selection.Wants(type)));
        Assert.False(EventSelection.IsKnown("imag"));
        Assert.False(EventSelection.IsKnown("image.created"));
    }

    [Fact]
    public async Task Nobody_who_wants_none_gets_any()
    {
        await Database.Editor.CreateAsync(Images.Queued(), Cancellation);
        await using var db = await Database.OpenAsync();
        Assert.Equal(0, await db.Events.CountAsync(Cancellation));
    }

    [Fact]
    public async Task Of_each_image_the_oldest_comes_first_and_one_that_is_put_off_holds_up_its_own()
    {
        await using var recording = Recording();
        var outbox = recording.Get<EventOutbox>();
        var (one, two) = (Images.Queued(), Images.Queued());
        foreach (var image in new[] { one, two })
        {
            await recording.Editor.CreateAsync(image, Cancellation);
            await recording.Editor.ChangeAsync(image.Id, Viewer.System, i => i.Name = "n", Cancellation);
        }

        var due = await outbox.FindDueAsync(10, Cancellation);
        Assert.Equal([one.Id, two.Id], due.Select(e => e.Subject));
        Assert.All(due, e => Assert.Equal("image.create", e.Type));
        Assert.Single(await outbox.FindDueAsync(1, Cancellation));

        Assert.Equal(1, await outbox.PostponeAsync(due[0], TimeSpan.FromMinutes(1), Cancellation));
        Assert.Equal(0, await outbox.PostponeAsync(due[0], TimeSpan.FromHours(1), Cancellation)); // told of it before
        Assert.Equal(1, await outbox.RemoveAsync(due[1], Cancellation));
        Assert.Equal(0, await outbox.RemoveAsync(due[1], Cancellation));
        var next = Assert.Single(await outbox.FindDueAsync(10, Cancellation));
        Assert.Equal((two.Id, "image.update"), (next.Subject, next.Type));
    }

    [Fact]
    public async Task What_nobody_takes_goes_by_age_and_by_number()
    {
        await using var recording = Recording();
        var outbox = recording.Get<EventOutbox>();
        for (var i = 0; i < 5; i++)
        {
            await recording.Editor.CreateAsync(Images.Queued(), Cancellation);
        }

        Assert.Equal(0, await outbox.DropAsync(TimeSpan.FromDays(3650), 5, Cancellation));
        Assert.Equal(3, await outbox.DropAsync(TimeSpan.FromDays(3650), 2, Cancellation));
        Assert.Equal(2, (await outbox.FindDueAsync(10, Cancellation)).Count);
        Assert.Equal(2, await outbox.DropAsync(TimeSpan.FromDays(-3650), 2, Cancellation));
        Assert.Empty(await outbox.FindDueAsync(10, Cancellation));
    }

    private TestDatabase Recording() => new(Database.Options with { Events = Selection() });

    private static EventSelection Selection() => new([])
    {
        TaskType = job => job.Kind == "import" ? "api_image_import" : null,
    };
}
