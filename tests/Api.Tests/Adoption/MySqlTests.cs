using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using MySqlConnector;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>The same from a Glance on MySQL: real MariaDB, with the schema that the real glance-manage makes.</summary>
public sealed class MySqlTests(GlanceLab glance)
{
    private const string Id = "abababab-0000-4000-8000-ABABABABABAB";
    private static readonly byte[] Content = GlanceContent.Bytes(12, 200_000);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Everything_is_read_as_from_PostgreSQL()
    {
        GlanceServer.Require();
        Assert.False(!MariaServer.IsInstalled && ExternalTool.IsStrict, "MariaDB is not installed, and CI=true forbids to skip.");
        Assert.SkipUnless(MariaServer.IsInstalled, "MariaDB is not installed.");
        using var directory = new TempDirectory();
        var files = Directory.CreateDirectory(directory.File("images")).FullName;
        await File.WriteAllBytesAsync(Path.Combine(files, Id), Content, Stop);
        await using var server = await MariaServer.StartAsync(Stop);
        await SqlAsync(server, "", "create database glance character set utf8mb3");
        var connection = FormattableString.Invariant($"mysql+pymysql://root@127.0.0.1:{server.Port}/glance?charset=utf8");
        await glance.MakeSchemaAsync(connection);
        await SqlAsync(server, "glance", Rows(files));

        var registry = new ImportLine(directory);
        await registry.UpgradeAsync();
        var left = await registry.LeftAsync(connection, [files]);
        Assert.Empty(left);
        await using var served = await RegistryProcess.StartAsync(registry.Data, Stop);
        Assert.Equal(Content, await served.Client.GetByteArrayAsync($"/v2/images/{Id}/file", Stop));
        var shown = await served.Client.GetFromJsonAsync<JsonElement>($"/v2/images/{Id}", Stop);
        foreach (var (name, value) in new[]
        {
            ("name", "naïve"), ("status", "deactivated"), ("visibility", "shared"), ("owner", "p"), ("min_disk", "7"),
            ("protected", "True"), ("os_hidden", "False"), ("size", "200000"), ("virtual_size", "200000"),
            ("created_at", "2018-09-01T12:34:56Z"), ("updated_at", "2019-01-02T03:04:05Z"), ("os_distro", "debian"),
            ("nothing", ""), ("os_hash_algo", "sha512"),
        })
        {
            Assert.Equal(value, shown.GetProperty(name).ToString());
        }

        Assert.Equal("[\"tagged\"]", shown.GetProperty("tags").GetRawText());
        var members = await served.Client.GetFromJsonAsync<JsonElement>($"/v2/images/{Id}/members", Stop);
        var member = Assert.Single(members.GetProperty("members").EnumerateArray());
        Assert.Equal("accepted", member.GetProperty("status").GetString());
        Assert.Equal("2018-10-01T00:00:00Z", member.GetProperty("updated_at").GetString());
        var list = await served.Client.GetFromJsonAsync<JsonElement>("/v2/metadefs/namespaces?limit=100", Stop);
        Assert.Equal(12, list.GetProperty("namespaces").GetArrayLength());
    }

    private static string Rows(string files) => $"""
        insert into images (id, name, status, visibility, size, virtual_size, checksum, os_hash_algo, os_hash_value, min_disk,
            min_ram, protected, os_hidden, disk_format, container_format, owner, created_at, updated_at, deleted)
        values ('{Id}', 'naïve', 'deactivated', 'shared', 200000, 200000, '{Convert.ToHexStringLower(MD5.HashData(Content))}',
            'sha512', '{Convert.ToHexStringLower(SHA512.HashData(Content))}', 7, 0, true, false, 'raw', 'bare', 'p',
            '2018-09-01 12:34:56', '2019-01-02 03:04:05', false),
            ('abababab-0000-4000-8000-000000000000', 'gone', 'deleted', 'shared', null, null, null, null, null, 0, 0, false,
            false, 'raw', 'bare', 'p', '2018-09-01', '2018-09-01', true);
        insert into image_properties (image_id, name, value, created_at, deleted) values
            ('{Id}', 'os_distro', 'debian', '2018-09-01', false), ('{Id}', 'nothing', null, '2018-09-01', false),
            ('{Id}', 'removed', 'x', '2018-09-01', true),
            ('{Id}', 'os_glance_importing_to_stores', 'fast', '2018-09-01', false);
        insert into image_tags (image_id, value, created_at, deleted) values
            ('{Id}', 'tagged', '2018-09-01', false), ('{Id}', 'removed', '2018-09-01', true);
        insert into image_members (image_id, member, can_share, status, created_at, updated_at, deleted) values
            ('{Id}', 'q', false, 'accepted', '2018-09-02', '2018-10-01', false),
            ('{Id}', 'r', false, 'accepted', '2018-09-02', '2018-10-01', true);
        insert into image_locations (image_id, value, meta_data, status, created_at, deleted) values
            ('{Id}', 'file://{files}/{Id}', '{"{}"}', 'active', '2018-09-01', false);
        """;

    private static async Task SqlAsync(MariaServer server, string database, string sql)
    {
        await using var connection = new MySqlConnection(FormattableString.Invariant(
            $"Server=127.0.0.1;Port={server.Port};User ID=root;Database={database};Pooling=false"));
        await connection.OpenAsync(Stop);
        await using var command = connection.CreateCommand();
#pragma warning disable CA2100 // the test's own
        command.CommandText = sql;
#pragma warning restore CA2100
        await command.ExecuteNonQueryAsync(Stop);
    }
}
