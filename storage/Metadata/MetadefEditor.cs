using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata;

/// <summary>Makes, changes and deletes namespaces of metadata definitions; concurrent changes follow one another, none is
/// lost.</summary>
public sealed class MetadefEditor(IDbContextFactory<RegistryDb> databases, TimeProvider time)
{
    /// <summary>Makes a namespace with everything in it.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: the name is in use.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public Task CreateAsync(MetadefNamespace definitions, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                if (attempt > 1 && await db.MetadefNamespaces
                        .AnyAsync(n => n.Id == definitions.Id, cancellationToken).ConfigureAwait(false))
                {
                    return true; // the attempt before went through, only its answer was lost
                }

                db.MetadefNamespaces.Add(definitions);
                await SaveAsync(db, definitions, cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Changes a namespace that the viewer sees, under its lock, and saves.</summary>
    /// <param name="name">The namespace.</param>
    /// <param name="viewer">Who asks. Whether it may change the namespace is for <paramref name="change"/> to
    /// decide.</param>
    /// <param name="change">Changes the namespace, everything in it loaded; may run again on a fresh copy, so it must
    /// change nothing else. Its exceptions undo everything.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The namespace as saved.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none that the viewer sees.
    /// -or- <see cref="ErrorCode.Conflict"/>: its new name is in use.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task<MetadefNamespace> ChangeAsync(
        string name, Viewer viewer, Action<MetadefNamespace> change, CancellationToken cancellationToken)
    {
        (Guid Id, Guid Version) saved = default;
        return await WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                if (saved != default && await MetadefQueries.FindAsync(db, saved.Id, cancellationToken)
                        .ConfigureAwait(false) is { } done && done.Version == saved.Version)
                {
                    return done; // the attempt before went through, only its answer was lost
                }

                var definitions = await LockAsync(db, name, viewer, cancellationToken).ConfigureAwait(false);
                change(definitions);
                definitions.Advance();
                await SaveAsync(db, definitions, cancellationToken).ConfigureAwait(false);
                saved = (definitions.Id, definitions.Version);
                return definitions;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a namespace with everything in it.</summary>
    /// <param name="name">The namespace.</param>
    /// <param name="viewer">Who asks.</param>
    /// <param name="check">Decides whether it may be deleted; its exceptions leave it.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none that the viewer sees.
    /// -or- <see cref="ErrorCode.Protected"/>: it is protected.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public Task DeleteAsync(
        string name, Viewer viewer, Action<MetadefNamespace> check, CancellationToken cancellationToken)
    {
        Guid deleted = default;
        return WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                if (deleted != default && !await db.MetadefNamespaces
                        .AnyAsync(n => n.Id == deleted, cancellationToken).ConfigureAwait(false))
                {
                    return true; // the attempt before went through, only its answer was lost
                }

                var definitions = await LockAsync(db, name, viewer, cancellationToken).ConfigureAwait(false);
                check(definitions);
                definitions.RequireUnprotected();
                db.MetadefNamespaces.Remove(definitions);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                deleted = definitions.Id;
                return true;
            },
            cancellationToken);
    }

    /// <summary>Remembers a type of resources; one that is known stays as it is.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is
    /// unknown.</exception>
    public Task RememberAsync(MetadefResourceType type, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(databases, (db, _) => RememberAsync(db, type, cancellationToken), cancellationToken);

    private static Task<int> RememberAsync(
        RegistryDb db, MetadefResourceType type, CancellationToken cancellationToken)
    {
        var created = DatabaseDialect.Parameter(db, Timestamps.Stored(type.CreatedAt));
        return db.Database.ExecuteSqlAsync(
            $"insert into metadef_resource_types (name, created_at) values ({type.Name}, {created}) on conflict do nothing",
            cancellationToken);
    }

    private static async Task<MetadefNamespace> LockAsync(
        RegistryDb db, string name, Viewer viewer, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockNamespaceAsync(db, name, cancellationToken).ConfigureAwait(false);
        return await MetadefQueries.FindAsync(db, name, viewer, tracking: true, cancellationToken).ConfigureAwait(false)
            ?? throw MetadefQueries.NotFound(name);
    }

    // A type of resources that is named for the first time is remembered, whoever names it at the same time.
    private async Task SaveAsync(RegistryDb db, MetadefNamespace definitions, CancellationToken cancellationToken)
    {
        // A violated index is a failure in the log; it is left to names that two take at the same time.
        if (await db.MetadefNamespaces
                .AnyAsync(n => n.Name == definitions.Name && n.Id != definitions.Id, cancellationToken)
                .ConfigureAwait(false))
        {
            throw NameTaken(definitions, inner: null);
        }

        var now = time.GetUtcNow();
        foreach (var type in definitions.Associations.Select(a => a.Name).Order(StringComparer.Ordinal))
        {
            await RememberAsync(db, new MetadefResourceType(type, now), cancellationToken).ConfigureAwait(false);
        }

        try
        {
            await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (DbUpdateException exception) when (DatabaseDialect.IsUniqueViolation(exception))
        {
            throw NameTaken(definitions, exception);
        }
    }

    private static RegistryException NameTaken(MetadefNamespace definitions, Exception? inner) =>
        new(ErrorCode.Conflict, $"There is a namespace {definitions.Name} already.", inner: inner);
}
