using System.Globalization;

namespace Registry.Bench;

/// <summary>Rows of a registry that has been used for a while, made inside PostgreSQL: many projects, few public images,
/// tags and properties that are common and that are rare.</summary>
internal static class ImageRows
{
    private const string Id = "lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000'";

    /// <summary>The statements that fill an empty registry.</summary>
    /// <param name="images">How many.</param>
    public static IEnumerable<string> Statements(int images) => Statements(1, images, owner: null);

    /// <summary>The statements that add images to a registry.</summary>
    /// <param name="first">Number of the first.</param>
    /// <param name="images">Number of the last.</param>
    /// <param name="owner">Project that owns them all; null for many projects.</param>
    public static IEnumerable<string> Statements(int first, int images, string? owner)
    {
        var projects = Math.Max(10, images / 100).ToString(CultureInfo.InvariantCulture);
        yield return $"""
            insert into images (id, name, status, visibility, owner, disk_format, container_format, size, virtual_size,
              min_disk, min_ram, is_protected, is_hidden, checksum, os_hash_algo, os_hash_value, created_at, updated_at,
              revision, generation)
            select {Id}, 'image-' || n,
              case when n % 500 = 1 then 'queued' when n % 1000 = 2 then 'deactivated' else 'active' end,
              case when n % 1000 = 3 then 'public' when n % 1000 = 4 then 'community' when n % 10 = 5 then 'shared'
                else 'private' end,
              {(owner is null ? $"'project-' || (n % {projects})" : $"'{owner}'")},
              case when n % 200 = 6 then 'iso' when n % 3 = 0 then 'raw' else 'qcow2' end,
              case when n % 900 = 7 then 'ova' else 'bare' end,
              n::bigint * 7919 % {images}, n + 1000, n % 50, (n % 16) * 128, n % 400 = 8, n % 700 = 9,
              lpad(n::text, 32, '0'), 'sha512', 'hash-' || n,
              timestamptz '2025-01-01' + n * interval '30 seconds', timestamptz '2025-01-01' + n * interval '31 seconds',
              1, 1
            from generate_series({first}, {images}) n
            """;
        yield return $"""
            insert into image_tags (image_id, value)
            select {Id}, 'tag-' || (n % 20) from generate_series({first}, {images}) n
            union all select {Id}, 'few-' || (n % 5000) from generate_series({first}, {images}) n where n % 3 = 1
            """;
        yield return $"""
            insert into image_properties (image_id, name, value)
            select {Id}, 'os_distro', 'debian-' || (n % 40) from generate_series({first}, {images}) n
            union all select {Id}, 'serial', 'serial-' || n from generate_series({first}, {images}) n
            """;
        yield return $"""
            insert into image_locations (image_id, store_id, generation, data_length, index_length, index_digest, created_at)
            select {Id}, 'default', 1, n, 100, decode(md5(n::text) || md5(n::text), 'hex'), now()
            from generate_series({first}, {images}) n
            """;
        yield return $"""
            insert into image_members (image_id, member_id, status, created_at, updated_at)
            select {Id}, 'project-' || ((n + 1) % {projects}),
              case when n % 20 = 5 then 'pending' else 'accepted' end, now(), now()
            from generate_series({first}, {images}) n where n % 10 = 5
            """;
        yield return "vacuum analyze";
    }
}
