using Registry.Api.Adoption;
using Registry.Api.Cli;
using Registry.Api.Tests.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>Addresses as Glance writes them: of its database, and of bytes.</summary>
public sealed class AddressTests
{
    [Theory]
    [InlineData("postgresql+psycopg2://glance:p%40ss%2Fw@db.example:5433/glance", "db.example", 5433, "glance", "glance", "p@ss/w")]
    [InlineData("postgresql://glance:p@ss@db/g", "db", null, "g", "glance", "p@ss")]
    [InlineData("mysql+pymysql://glance:x@[fd00::1]:3306/glance?charset=utf8", "fd00::1", 3306, "glance", "glance", "x")]
    [InlineData("mysql://glance@/glance", "localhost", null, "glance", "glance", null)]
    public void A_database_is_found(
        string text, string host, int? port, string database, string user, string? password)
    {
        var url = ConnectionUrl.Parse(text);
        Assert.Equal(
            (host, port, database, user, password), (url.Host, url.Port, url.Database, url.User, url.Password));
        GlanceConnection.Parse(text);
    }

    [Theory]
    [InlineData("Host=db;Username=glance;Password=x;Database=glance")]
    [InlineData("postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem")]
    [InlineData("mysql+mysqldb://u:p@/d?unix_socket=/run/mysqld/mysqld.sock&ssl_ca=/etc/ca.pem")]
    public void Other_forms_are_understood(string text) => GlanceConnection.Parse(text);

    [Theory]
    [InlineData("sqlite:////var/lib/glance/glance.sqlite", "kind 'sqlite'")]
    [InlineData("postgresql://u:secret@h:x/d", "neither a URL")]
    [InlineData("postgresql://u:secret@h", "neither a URL")]
    [InlineData("postgresql://u:secret@h/d?sslmode=perhaps", "neither a URL")]
    [InlineData("secret", "neither a URL")]
    [InlineData("mysql://u:secret@h/d?ssl_verify_identity=true", "not known here: ssl_verify_identity")]
    public void What_is_not_understood_is_refused_without_telling_the_password(string text, string expected)
    {
        var refusal = Assert.Throws<CommandException>(() => GlanceConnection.Parse(text));
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_password_need_not_stand_on_the_command_line()
    {
        using var directory = new TempDirectory();
        await File.WriteAllTextAsync(
            directory.File("words"), "--from\nmssql://u:secret@h/d\n", TestContext.Current.CancellationToken);
        var refused = await RegistryCommandLine.RunAsync("db", "import-glance", "@" + directory.File("words"));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("A Glance database of kind 'mssql' cannot be read", refused.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("file:///var/lib/glance/images/x", "/var/lib/glance/images/x")]
    [InlineData("filesystem:///x", "/x")]
    public void A_file_is_a_path(string address, string path) =>
        Assert.Equal(new GlanceLocation.InFile(path), GlanceLocation.Parse(address));

    [Theory]
    [InlineData("s3://key:secret@s3.example/images/x", "s3.example")]
    [InlineData("s3+https://key:se/cr/et@s3.example:7480/images/x", "s3.example:7480")]
    [InlineData("s3+http://s3.example/images/x", "s3.example")]
    public void An_object_has_a_host_a_bucket_and_a_key(string address, string host) =>
        Assert.Equal(new GlanceLocation.InBucket(host, "images", "x"), GlanceLocation.Parse(address));

    [Theory]
    [InlineData("rbd://fsid/pool/x/snap", "rbd")]
    [InlineData("s3://key:secret@host/x", "s3")]
    [InlineData("secret", "unknown")]
    [InlineData("se\u001bcret://x", "unknown")]
    public void Anything_else_is_told_by_its_kind_only(string address, string kind) =>
        Assert.Equal(new GlanceLocation.Elsewhere(kind), GlanceLocation.Parse(address));

    [Fact]
    public void A_line_of_the_report_does_not_steer_a_terminal() =>
        Assert.Equal(
            "image ?[2Jx: left out (a?b; c)",
            new AdoptionLine("image", "\u001b[2Jx", Adopted.Left, "a\nb", "c").ToString());
}
