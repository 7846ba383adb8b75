using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
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
    public async Task An_upload_that_is_given_up_is_an_update()
    {
        await using var recording = Recording();
        var image = Images.Queued();
        await recording.Editor.CreateAsync(image, Cancellation);
        var intent = await recording.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await recording.Ledger.AbandonAsync(intent, "x", "x", Cancellation);
        await using var db = await recording.OpenAsync();
        Assert.Equal(
            ["image.create", "image.prepare", "image.update"],
            await db.Events.OrderBy(e => e.Number).Select(e => e.Type).ToListAsync(Cancellation));
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

    private TestDatabase Recording() => new(Database.Options with { RecordsEvents = true });
}
