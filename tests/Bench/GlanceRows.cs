namespace Registry.Bench;

/// <summary>The images of <see cref="ImageRows"/> as a Glance keeps them.</summary>
internal static class GlanceRows
{
    private const string Id = "lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000'";

    /// <summary>The statements that put images into Glance's database.</summary>
    /// <param name="first">Number of the first.</param>
    /// <param name="last">Number of the last.</param>
    /// <param name="owner">Project that owns them all.</param>
    public static IEnumerable<string> Statements(int first, int last, string owner)
    {
        var numbers = $"from generate_series({first}, {last}) n";
        yield return $"""
            insert into images (id, name, status, visibility, owner, disk_format, container_format, size, virtual_size,
              min_disk, min_ram, protected, os_hidden, checksum, os_hash_algo, os_hash_value, created_at, updated_at,
              deleted)
            select {Id}, 'image-' || n,
              case when n % 500 = 1 then 'queued' when n % 1000 = 2 then 'deactivated' else 'active' end,
              case when n % 1000 = 3 then 'public' when n % 1000 = 4 then 'community' when n % 10 = 5 then 'shared'
                else 'private' end::image_visibility,
              '{owner}',
              case when n % 200 = 6 then 'iso' when n % 3 = 0 then 'raw' else 'qcow2' end,
              case when n % 900 = 7 then 'ova' else 'bare' end,
              n::bigint * 7919 % {last}, n + 1000, n % 50, (n % 16) * 128, n % 400 = 8, n % 700 = 9,
              lpad(n::text, 32, '0'), 'sha512', 'hash-' || n,
              timestamp '2025-01-01' + n * interval '30 seconds', timestamp '2025-01-01' + n * interval '31 seconds',
              false
            {numbers}
            """;
        yield return $"""
            insert into image_tags (image_id, value, created_at, deleted)
            select {Id}, 'tag-' || (n % 20), now(), false {numbers}
            union all select {Id}, 'few-' || (n % 5000), now(), false {numbers} where n % 3 = 1
            """;
        yield return $"""
            insert into image_properties (image_id, name, value, created_at, deleted)
            select {Id}, 'os_distro', 'debian-' || (n % 40), now(), false {numbers}
            union all select {Id}, 'serial', 'serial-' || n, now(), false {numbers}
            """;
        yield return $$"""
            insert into image_locations (image_id, value, meta_data, status, created_at, deleted)
            select {{Id}}, 'file:///nowhere/' || n, '{"store": "fast"}', 'active', now(), false {{numbers}}
            """;
        yield return "vacuum analyze";
    }
}
