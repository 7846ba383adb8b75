using System.Data.Common;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Registry.Api.Adoption;

/// <summary>Reads Glance's database, as it is since Rocky (2018), on PostgreSQL and MySQL alike. A page at a time: there
/// may be any number of images.</summary>
internal sealed class GlanceDatabase(DbConnection connection) : IAsyncDisposable
{
    private const string PageLimit = "limit 50";
    private const int PageMax = 50;

    /// <summary>Opens it.</summary>
    /// <exception cref="DbException">It does not let us in.</exception>
    public static async Task<GlanceDatabase> OpenAsync(GlanceConnection from, CancellationToken cancellationToken) =>
        new(await from.OpenAsync(cancellationToken));

    /// <summary>How many images were deleted; they are not among <see cref="ImagesAsync"/>.</summary>
    public async Task<long> CountDeletedAsync(CancellationToken cancellationToken)
    {
        var counts = await QueryAsync(
            "select count(*) from images where deleted", null, row => Number(row, 0)!.Value, cancellationToken);
        return counts[0];
    }

    /// <summary>The images that are not deleted, in the order of their ids.</summary>
    public async IAsyncEnumerable<GlanceImage> ImagesAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // Visibility is a type of its own on PostgreSQL, and char the only text that both cast to.
        const string Page = $"""
            select id, name, status, cast(visibility as char(32)), owner, disk_format, container_format, size,
                   virtual_size, checksum, os_hash_algo, os_hash_value, min_disk, min_ram, protected, os_hidden,
                   created_at, updated_at
            from images where not deleted and id > @after order by id {PageLimit}
            """;
        var after = "";
        List<GlanceImage> page;
        do
        {
            page = await QueryAsync(Page, after, Image, cancellationToken);
            foreach (var image in page)
            {
                yield return image;
            }

            after = page.Count > 0 ? page[^1].Id : after;
        }
        while (page.Count == PageMax);
    }

    /// <summary>What hangs on an image.</summary>
    public async Task<GlanceParts> PartsAsync(string imageId, CancellationToken cancellationToken) => new(
        await QueryAsync(
            "select name, value from image_properties where not deleted and image_id = @after order by id", imageId,
            row => KeyValuePair.Create(row.GetString(0), Text(row, 1) ?? ""), cancellationToken),
        await QueryAsync(
            "select value from image_tags where not deleted and image_id = @after order by id", imageId,
            row => row.GetString(0), cancellationToken),
        await QueryAsync(
            """
            select m.member, m.status, m.created_at, m.updated_at from image_members m
            where not m.deleted and m.image_id = @after order by m.id
            """, imageId,
            row => new GlanceMember(row.GetString(0), row.GetString(1), Time(row, 2), Changed(row, 2)),
            cancellationToken),
        await QueryAsync(
            """
            select value from image_locations
            where not deleted and status = 'active' and image_id = @after order by id
            """, imageId,
            row => row.GetString(0), cancellationToken));

    /// <summary>Types of resources, and when they were first named.</summary>
    public async Task<IReadOnlyList<KeyValuePair<string, DateTimeOffset>>> ResourceTypesAsync(
        CancellationToken cancellationToken) =>
        await QueryAsync(
            "select name, created_at from metadef_resource_types order by name", null,
            row => KeyValuePair.Create(row.GetString(0), Time(row, 1)), cancellationToken);

    /// <summary>The namespaces of metadata definitions.</summary>
    public async IAsyncEnumerable<GlanceNamespace> NamespacesAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        const string Page = $"""
            select id, namespace, display_name, description, visibility, protected, owner, created_at, updated_at
            from metadef_namespaces where id > @after order by id {PageLimit}
            """;
        var after = 0L;
        List<GlanceNamespace> page;
        do
        {
            page = await QueryAsync(
                Page, after,
                row => new GlanceNamespace(
                    Number(row, 0)!.Value, row.GetString(1), Text(row, 2), Text(row, 3), Text(row, 4), Flag(row, 5),
                    Text(row, 6), Time(row, 7), Changed(row, 7)),
                cancellationToken);
            foreach (var found in page)
            {
                yield return found;
            }

            after = page.Count > 0 ? page[^1].Id : after;
        }
        while (page.Count == PageMax);
    }

    /// <summary>What is in a namespace.</summary>
    public async Task<GlanceDefinitions> DefinitionsAsync(long namespaceId, CancellationToken cancellationToken) => new(
        await PartsAsync("metadef_properties", "null, null, json_schema", namespaceId, cancellationToken),
        await PartsAsync("metadef_objects", "description, required, json_schema", namespaceId, cancellationToken),
        await PartsAsync("metadef_tags", "null, null, null", namespaceId, cancellationToken),
        await QueryAsync(
            """
            select t.name, a.prefix, a.properties_target, a.created_at
            from metadef_namespace_resource_types a join metadef_resource_types t on t.id = a.resource_type_id
            where a.namespace_id = @after order by t.name
            """, namespaceId,
            row => new GlanceAssociation(row.GetString(0), Text(row, 1), Text(row, 2), Time(row, 3)),
            cancellationToken));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => connection.DisposeAsync();

    private Task<List<GlanceDefinition>> PartsAsync(
        string table, string columns, long namespaceId, CancellationToken cancellationToken) =>
        QueryAsync(
            $"select name, {columns}, created_at, updated_at from {table} where namespace_id = @after order by id",
            namespaceId,
            row => new GlanceDefinition(
                row.GetString(0), Text(row, 1), Text(row, 2), Text(row, 3), Time(row, 4), Changed(row, 4)),
            cancellationToken);

    private async Task<List<T>> QueryAsync<T>(
        string sql, object? after, Func<DbDataReader, T> read, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
#pragma warning disable CA2100 // only names of our own are put into it
        command.CommandText = sql;
#pragma warning restore CA2100
        if (after is not null)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = "after";
            parameter.Value = after;
            command.Parameters.Add(parameter);
        }

        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        var found = new List<T>();
        while (await rows.ReadAsync(cancellationToken))
        {
            found.Add(read(rows));
        }

        return found;
    }

    private static GlanceImage Image(DbDataReader row) => new()
    {
        Id = row.GetString(0),
        Name = Text(row, 1),
        Status = row.GetString(2),
        Visibility = row.GetString(3).TrimEnd(),
        Owner = Text(row, 4),
        DiskFormat = Text(row, 5),
        ContainerFormat = Text(row, 6),
        Size = Number(row, 7),
        VirtualSize = Number(row, 8),
        Checksum = Text(row, 9),
        HashAlgorithm = Text(row, 10),
        HashValue = Text(row, 11),
        MinDisk = Number(row, 12) ?? 0,
        MinRam = Number(row, 13) ?? 0,
        IsProtected = Flag(row, 14),
        IsHidden = Flag(row, 15),
        CreatedAt = Time(row, 16),
        UpdatedAt = Changed(row, 16),
    };

    private static string? Text(DbDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    private static long? Number(DbDataReader row, int column) =>
        row.IsDBNull(column) ? null : Convert.ToInt64(row.GetValue(column), CultureInfo.InvariantCulture);

    private static bool Flag(DbDataReader row, int column) =>
        !row.IsDBNull(column) && Convert.ToBoolean(row.GetValue(column), CultureInfo.InvariantCulture);

    // Glance's times are UTC and do not say so.
    private static DateTimeOffset Time(DbDataReader row, int column) => row.IsDBNull(column)
        ? DateTimeOffset.UnixEpoch
        : new DateTimeOffset(DateTime.SpecifyKind(row.GetDateTime(column), DateTimeKind.Utc));

    // What never changed may say nothing of it.
    private static DateTimeOffset Changed(DbDataReader row, int created) =>
        row.IsDBNull(created + 1) ? Time(row, created) : Time(row, created + 1);
}
