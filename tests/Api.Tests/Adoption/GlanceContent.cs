using System.Buffers.Binary;

namespace Registry.Api.Tests.Adoption;

/// <summary>What is in the Glance of the tests: one image of each kind that a cloud has.</summary>
internal static class GlanceContent
{
    /// <summary>Active, public, protected, with properties and tags.</summary>
    public const string Public = "11111111-1111-4111-8111-111111111111";

    /// <summary>Active, shared with two projects, a qcow2 in the second directory.</summary>
    public const string Shared = "22222222-2222-4222-8222-222222222222";

    /// <summary>Queued, community, hidden.</summary>
    public const string Queued = "33333333-3333-4333-8333-333333333333";

    /// <summary>Deactivated, private, another project's.</summary>
    public const string Deactivated = "44444444-4444-4444-8444-444444444444";

    /// <summary>Active, without a byte.</summary>
    public const string Empty = "55555555-5555-4555-8555-555555555555";

    /// <summary>Deleted.</summary>
    public const string Deleted = "66666666-6666-4666-8666-666666666666";

    /// <summary>An id with capitals, no owner, a name of many scripts.</summary>
    public const string Odd = "77777777-7777-4777-8777-ABCDEFABCDEF";

    /// <summary>Active, an object in the bucket; where there is one.</summary>
    public const string InBucket = "88888888-8888-4888-8888-888888888888";

    /// <summary>All that are not deleted, beside <see cref="InBucket"/>.</summary>
    public static readonly string[] InFiles = [Public, Shared, Queued, Deactivated, Empty, Odd];

    /// <summary>A namespace with one of everything.</summary>
    public const string Namespace = "Tests::Whole";

    /// <summary>How many namespaces there are: ours, and <see cref="Namespace"/>.</summary>
    public const int Namespaces = 13;

    /// <summary>Bytes of the image that is large.</summary>
    public const int LargeBytes = (5 << 20) + 777;

    /// <summary>Makes it all through Glance's API, and ages it.</summary>
    public static async Task MakeAsync(GlanceLab glance)
    {
        await CreateAsync(glance, new()
        {
            ["id"] = Public, ["name"] = "public one", ["visibility"] = "public", ["protected"] = true,
            ["disk_format"] = "raw", ["container_format"] = "bare", ["min_disk"] = 3, ["min_ram"] = 512,
            ["tags"] = new[] { "one", "zwei", "три" }, ["os_distro"] = "debian", ["hw_disk_bus"] = "virtio", ["empty"] = "",
        });
        await UploadAsync(glance, Public, Bytes(1, LargeBytes));
        await CreateAsync(glance, new()
        {
            ["id"] = Shared, ["name"] = "shared one", ["disk_format"] = "qcow2", ["container_format"] = "bare",
        });
        await UploadAsync(glance, Shared, Qcow2(), "cheap");
        await ShareAsync(glance, Shared, "project-a", "accepted");
        await ShareAsync(glance, Shared, "project-b", "rejected");
        await ShareAsync(glance, Shared, "project-c", null);
        await CreateAsync(glance, new()
        {
            ["id"] = Queued, ["visibility"] = "community", ["os_hidden"] = true, ["name"] = "queued one",
        });
        await CreateAsync(glance, new()
        {
            ["id"] = Deactivated, ["name"] = "deactivated one", ["visibility"] = "private", ["owner"] = "other",
            ["disk_format"] = "raw", ["container_format"] = "bare",
        });
        await UploadAsync(glance, Deactivated, Bytes(2, 70_000));
        await glance.SendAsync(HttpMethod.Post, $"/v2/images/{Deactivated}/actions/deactivate");
        await CreateAsync(glance, new()
        {
            ["id"] = Empty, ["name"] = "empty one", ["disk_format"] = "raw", ["container_format"] = "bare",
        });
        await UploadAsync(glance, Empty, []);
        await CreateAsync(glance, new()
        {
            ["id"] = Deleted, ["disk_format"] = "raw", ["container_format"] = "bare",
        });
        await UploadAsync(glance, Deleted, Bytes(3, 10));
        await glance.SendAsync(HttpMethod.Delete, $"/v2/images/{Deleted}");
        await CreateAsync(glance, new()
        {
            ["id"] = Odd, ["name"] = "Ünïcode — 日本 <&\"'>", ["disk_format"] = "iso", ["container_format"] = "ova",
            ["visibility"] = "public",
        });
        await UploadAsync(glance, Odd, Bytes(4, 65536));
        if (glance.HasBucket)
        {
            await CreateAsync(glance, new()
            {
                ["id"] = InBucket, ["name"] = "bucket one", ["disk_format"] = "raw", ["container_format"] = "bare",
            });
            await UploadAsync(glance, InBucket, Bytes(5, 3_000_001), "bucket");
        }

        await DefineAsync(glance);

        // So that nobody can take today for what was.
        await glance.SqlAsync("glance", """
            update images set created_at = created_at - interval '400 days', updated_at = updated_at - interval '30 days';
            update image_members set created_at = created_at - interval '300 days', updated_at = updated_at - interval '20 days';
            update images set owner = null where id = '77777777-7777-4777-8777-ABCDEFABCDEF';
            update metadef_namespaces set created_at = created_at - interval '500 days';
            update metadef_objects set created_at = created_at - interval '450 days';
            update metadef_resource_types set created_at = created_at - interval '600 days';
            """);
    }

    /// <summary>Bytes that look like nothing.</summary>
    public static byte[] Bytes(int seed, int length)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static async Task CreateAsync(GlanceLab glance, Dictionary<string, object> image) =>
        await glance.SendAsync(HttpMethod.Post, "/v2/images", image);

    private static async Task UploadAsync(GlanceLab glance, string id, byte[] bytes, string? store = null) =>
        await glance.SendAsync(HttpMethod.Put, $"/v2/images/{id}/file", bytes, store: store);

    private static async Task ShareAsync(GlanceLab glance, string id, string project, string? answer)
    {
        await glance.SendAsync(HttpMethod.Post, $"/v2/images/{id}/members", new { member = project });
        if (answer is not null)
        {
            await glance.SendAsync(
                HttpMethod.Put, $"/v2/images/{id}/members/{project}", new { status = answer }, project);
        }
    }

    private static async Task DefineAsync(GlanceLab glance) => await glance.SendAsync(
        HttpMethod.Post, "/v2/metadefs/namespaces",
        new Dictionary<string, object>
        {
            ["namespace"] = Namespace,
            ["display_name"] = "Whole",
            ["description"] = "One of everything",
            ["visibility"] = "public",
            ["properties"] = new Dictionary<string, object>
            {
                ["cpus"] = new { title = "CPUs", type = "integer", minimum = 1, maximum = 64, @default = 2 },
            },
            ["objects"] = new object[]
            {
                new
                {
                    name = "machine",
                    description = "A machine",
                    required = new[] { "ram", "disk" },
                    properties = new Dictionary<string, object>
                    {
                        ["ram"] = new { title = "RAM", type = "integer" },
                        ["disk"] = new { title = "Disk", type = "string", @enum = new[] { "ssd", "hdd" } },
                    },
                },
            },
            ["tags"] = new object[] { new { name = "First" }, new { name = "second" } },
            ["resource_type_associations"] = new object[]
            {
                new { name = "OS::Glance::Image", prefix = "x_" },
                new { name = "Tests::Thing", properties_target = "side" },
            },
        });

    // Version 2, 64 KiB clusters, 1 MiB and nothing in it: header, refcount table, refcount block, L1 table.
    private static byte[] Qcow2()
    {
        const int Cluster = 65536;
        var file = new byte[4 * Cluster];
        BinaryPrimitives.WriteUInt32BigEndian(file, 0x514649FB);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(4), 2);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(20), 16);
        BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(24), 1 << 20);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(36), 1);
        BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(40), 3 * Cluster);
        BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(48), Cluster);
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(56), 1);
        BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(Cluster), 2 * Cluster);
        for (var cluster = 0; cluster < 4; cluster++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(file.AsSpan((2 * Cluster) + (2 * cluster)), 1);
        }

        return file;
    }
}
