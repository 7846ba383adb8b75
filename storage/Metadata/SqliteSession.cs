using System.Data.Common;
using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;

namespace Registry.Storage.Metadata;

/// <summary>What every connection to the embedded database needs, and the queue before its only writer.</summary>
/// <remarks>SQLite takes one writer at a time. Its own waiting is a sleep that holds a thread, so writers of this
/// process queue up here first; <c>busy_timeout</c> is for other processes. Readers never wait: WAL.</remarks>
// It lives as long as the options it hangs on; a semaphore never asked for its handle owns nothing.
#pragma warning disable CA1001
internal sealed class SqliteSession(DiskReserve? reserve) : DbConnectionInterceptor
#pragma warning restore CA1001
{
    private const int SynchronousFull = 2;
    private const int BusyTimeoutMs = 10_000;
    private const int WritesPerOptimize = 500;

    // Pooled handles stay open and keep their settings.
    private readonly ConditionalWeakTable<object, object> _prepared = [];
    private readonly SemaphoreSlim _writer = new(1, 1);
    private int _writes;
    private volatile bool _isPrivate;

    /// <summary>The session of a context; null on another database.</summary>
    public static SqliteSession? Of(DbContext db) =>
        db.GetService<IDbContextOptions>().FindExtension<CoreOptionsExtension>()?.Interceptors?
            .OfType<SqliteSession>().FirstOrDefault();

    /// <summary>What is given up when the disk is full; null for nothing.</summary>
    public DiskReserve? Reserve { get; } = reserve;

    /// <summary>Waits for this process's turn to write. Dispose the result to end it.</summary>
    public async ValueTask<Turn> EnterAsync(CancellationToken cancellationToken)
    {
        await _writer.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new Turn(_writer);
    }

    /// <summary>Has SQLite count anew what its planner goes by, now and then. Within the writer's turn; cheap where
    /// little has changed.</summary>
    /// <remarks>Without it the planner takes every index for equally good and may walk past everybody's images to find
    /// a project's few.</remarks>
    public async ValueTask OptimizeSometimesAsync(RegistryDb db)
    {
        if (++_writes % WritesPerOptimize == 0)
        {
            await OptimizeAsync(db, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <inheritdoc cref="OptimizeSometimesAsync"/>
    public static Task OptimizeAsync(RegistryDb db, CancellationToken cancellationToken) =>
        db.Database.ExecuteSqlRawAsync("PRAGMA analysis_limit = 1000; PRAGMA optimize = 0x10002;", cancellationToken);

    public override InterceptionResult ConnectionOpening(
        DbConnection connection, ConnectionEventData eventData, InterceptionResult result)
    {
        MakePrivate((SqliteConnection)connection);
        return result;
    }

    public override ValueTask<InterceptionResult> ConnectionOpeningAsync(
        DbConnection connection, ConnectionEventData eventData, InterceptionResult result,
        CancellationToken cancellationToken = default)
    {
        MakePrivate((SqliteConnection)connection);
        return ValueTask.FromResult(result);
    }

    public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData) =>
        Prepare((SqliteConnection)connection);

    public override Task ConnectionOpenedAsync(
        DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        Prepare((SqliteConnection)connection);
        return Task.CompletedTask;
    }

    // Before the first connection is opened: closing a file that SQLite has open would end its locks.
    private void MakePrivate(SqliteConnection connection)
    {
        if (!_isPrivate && Reserve is not { IsReadOnly: true })
        {
            _isPrivate = SqliteFiles.MakePrivate(new SqliteConnectionStringBuilder(connection.ConnectionString));
        }
    }

    private void Prepare(SqliteConnection connection)
    {
        var handle = connection.Handle!;
        if (_prepared.TryGetValue(handle, out _))
        {
            return;
        }

        Run(connection, FormattableString.Invariant($"PRAGMA busy_timeout = {BusyTimeoutMs}"));
        Run(connection, "PRAGMA foreign_keys = ON");
        if (Reserve is { IsReadOnly: true })
        {
            _prepared.AddOrUpdate(handle, handle); // nothing will be written, and no log can be made
            return;
        }

        Run(connection, "PRAGMA synchronous = FULL");
        var journal = Run(connection, "PRAGMA journal_mode = WAL");
        if (journal is not "wal")
        {
            throw new IOException(
                $"The embedded database cannot use a write-ahead log (it says '{journal}').");
        }

        // NORMAL would lose the last commits at a power cut: ask, do not believe.
        if (Run(connection, "PRAGMA synchronous") is not (long)SynchronousFull)
        {
            throw new IOException("The embedded database refuses synchronous=FULL.");
        }

        _prepared.AddOrUpdate(handle, handle);
    }

    private static object? Run(SqliteConnection connection, string statement)
    {
        using var command = connection.CreateCommand();
#pragma warning disable CA2100 // constants above
        command.CommandText = statement;
#pragma warning restore CA2100
        return command.ExecuteScalar();
    }

    /// <summary>A turn at writing.</summary>
    public readonly struct Turn(SemaphoreSlim writer) : IDisposable
    {
        public void Dispose() => writer?.Release();
    }
}
