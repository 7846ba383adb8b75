using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteStorageQuotaTests(TestDatabases databases)
    : StorageQuotaContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresStorageQuotaTests(TestDatabases databases)
    : StorageQuotaContract(databases, DatabaseKind.Postgres)
{
    [Fact]
    public async Task An_upload_that_ends_while_room_is_sought_does_not_fall_between_promised_and_kept()
    {
        var ending = await TryBeginAsync(await RegisterAsync(), 6 * Tenth);
        var next = await RegisterAsync();
        var ends = new EndsAnUpload(
            () => Ledger.CommitAsync(ending!, Images.Result() with { Size = 6 * Tenth }, Cancellation));
        var ledger = new UploadLedger(
            new InterceptedDatabases(Database.Options, ends), new StorageQuota(TestDatabase.Quota), Database.Time,
            NullLogger<UploadLedger>.Instance);
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => ledger.BeginAsync(next, "s1", "me", Lease, 5 * Tenth, Cancellation));
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
        Assert.True(ends.HasEnded);
    }

    /// <summary>Ends it as soon as something was summed up.</summary>
    private sealed class EndsAnUpload(Func<Task> end) : DbCommandInterceptor
    {
        public bool HasEnded { get; private set; }

        public override async ValueTask<DbDataReader> ReaderExecutedAsync(
            DbCommand command, CommandExecutedEventData eventData, DbDataReader result,
            CancellationToken cancellationToken = default)
        {
            if (!HasEnded && command.CommandText.Contains("sum(", StringComparison.OrdinalIgnoreCase))
            {
                HasEnded = true;
                await end();
            }

            return result;
        }
    }
}

public abstract class StorageQuotaContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    protected const long Tenth = TestDatabase.Quota / 10;
    protected static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    protected UploadLedger Ledger => Database.Ledger;

    [Fact]
    public async Task Of_twenty_uploads_at_once_as_many_begin_as_there_is_room_for()
    {
        var ids = new List<string>();
        for (var i = 0; i < 20; i++)
        {
            ids.Add(await RegisterAsync());
        }

        var began = await Task.WhenAll(ids.Select(id => Task.Run(() => TryBeginAsync(id, Tenth))));
        Assert.Equal(10, began.Count(intent => intent is not null));
        await using var db = await Database.OpenAsync();
        Assert.Equal(10, await db.Images.CountAsync(i => i.Status == ImageStatus.Queued, Cancellation));
    }

    [Fact]
    public async Task Room_comes_back_when_an_upload_is_given_up_or_an_image_is_deleted()
    {
        var first = await TryBeginAsync(await RegisterAsync(), 6 * Tenth);
        Assert.Null(await TryBeginAsync(await RegisterAsync(), 5 * Tenth));
        await Ledger.AbandonAsync(first!, "x", "x", Cancellation);
        var second = await TryBeginAsync(await RegisterAsync(), 5 * Tenth);
        await Ledger.CommitAsync(second!, Images.Result() with { Size = 5 * Tenth }, Cancellation);
        Assert.Null(await TryBeginAsync(await RegisterAsync(), 6 * Tenth));
        await Database.Editor.DeleteAsync(second!.ImageId, Cancellation);
        Assert.NotNull(await TryBeginAsync(await RegisterAsync(), 10 * Tenth));
    }

    [Fact]
    public async Task What_was_promised_and_not_needed_is_free_again()
    {
        var intent = await TryBeginAsync(await RegisterAsync(), 8 * Tenth);
        await Ledger.CommitAsync(intent!, Images.Result() with { Size = Tenth }, Cancellation);
        Assert.NotNull(await TryBeginAsync(await RegisterAsync(), 9 * Tenth));
    }

    [Fact]
    public async Task An_upload_of_unknown_length_gets_what_is_left_and_no_more()
    {
        var known = await TryBeginAsync(await RegisterAsync(), 9 * Tenth);
        var unknown = await TryBeginAsync(await RegisterAsync(), null);
        Assert.Equal(0, unknown!.ReservedBytes);
        Assert.Equal(1000 + StorageQuota.StepBytes, await Ledger.ReserveAsync(unknown, 1000, Cancellation));
        Assert.Equal(1000 + StorageQuota.StepBytes, await Ledger.ReserveAsync(unknown, 500, Cancellation));
        Assert.Equal(Tenth, await Ledger.ReserveAsync(unknown, Tenth - 1, Cancellation));
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Ledger.ReserveAsync(unknown, Tenth + 1, Cancellation));
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);

        await Ledger.AbandonAsync(known!, "x", "x", Cancellation);
        Assert.InRange(await Ledger.ReserveAsync(unknown, Tenth + 1, Cancellation), Tenth + 1, 2 * Tenth);
        await Ledger.AbandonAsync(unknown, "x", "x", Cancellation);
        var fenced = await Assert.ThrowsAsync<RegistryException>(
            () => Ledger.ReserveAsync(unknown, 5 * Tenth, Cancellation));
        Assert.Equal(ErrorCode.Fenced, fenced.Code);
    }

    [Fact]
    public async Task Projects_do_not_share_and_a_copy_counts_as_another_image_does()
    {
        var mine = await TryBeginAsync(await RegisterAsync(), 6 * Tenth);
        await Ledger.CommitAsync(mine!, Images.Result() with { Size = 6 * Tenth }, Cancellation);
        Assert.NotNull(await TryBeginAsync(await RegisterAsync("q"), 9 * Tenth));

        await using var db = await Database.OpenAsync();
        var location = await db.Locations.SingleAsync(l => l.ImageId == mine!.ImageId, Cancellation);
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Database.Get<CopyLedger>().BeginAsync(location, "s2", "me", Lease, Cancellation));
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
    }

    protected async Task<UploadIntent?> TryBeginAsync(string id, long? bytes)
    {
        try
        {
            return await Ledger.BeginAsync(id, "s1", "me", Lease, bytes, Cancellation);
        }
        catch (RegistryException refusal) when (refusal.Code == ErrorCode.QuotaExceeded)
        {
            return null;
        }
    }

    protected async Task<string> RegisterAsync(string owner = "p")
    {
        var image = Images.Queued(owner);
        await Database.Editor.CreateAsync(image, Cancellation);
        return image.Id;
    }
}
