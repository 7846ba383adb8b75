using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

/// <summary>A process that stops within a transaction, and with it keeps the rows that others wait for.</summary>
public sealed class StoppedTransactionTests(TestDatabases databases) : DatabaseContract(databases, DatabaseKind.Postgres)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Rows_that_a_stopped_process_has_locked_are_free_again_while_it_is_stopped()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        await using var stopped = await Database.OpenAsync();
        await using var transaction = await stopped.Database.BeginTransactionAsync(Cancellation);
        await DatabaseDialect.LockAsync(stopped, image.Id, Cancellation);

        var started = TimeProvider.System.GetTimestamp();
        while (!await IsChangedAsync(image.Id))
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < Limit, "the row stays locked");
        }

        // The process continues, and is told that its work was not done.
        var refused = await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await stopped.Database.ExecuteSqlAsync($"update images set min_ram = 7 where id = {image.Id}", Cancellation);
            await transaction.CommitAsync(Cancellation);
        });
        Assert.True(DatabaseFailures.MayPass(refused), $"{refused}");
    }

    private async Task<bool> IsChangedAsync(string id)
    {
        try
        {
            await Database.Editor.ChangeAsync(id, Viewer.System, image => image.MinRam++, Cancellation);
            return true;
        }
        catch (RegistryException e) when (e.Code == ErrorCode.DatabaseUnavailable)
        {
            return false;
        }
    }
}
