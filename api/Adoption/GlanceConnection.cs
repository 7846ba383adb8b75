using System.Data.Common;
using MySqlConnector;
using Npgsql;
using Registry.Api.Cli;

namespace Registry.Api.Adoption;

/// <summary>Where a Glance database is: as glance-api.conf says it (SQLAlchemy's URL), or as Npgsql does. Holds a
/// password, and shows it to nobody.</summary>
internal sealed class GlanceConnection
{
    private readonly bool _isMySql;
    private readonly string _settings;

    private GlanceConnection(bool isMySql, string settings)
    {
        _isMySql = isMySql;
        _settings = settings;
    }

    /// <summary>Reads <c>postgresql+psycopg2://user:password@host:port/database</c>, <c>mysql+pymysql://…</c>, or
    /// <c>Host=…;Database=…</c>.</summary>
    /// <exception cref="CommandException">It is none of them, or has options that are not known here.</exception>
    public static GlanceConnection Parse(string text)
    {
        var scheme = text.IndexOf("://", StringComparison.Ordinal) is var end and > 0 ? text[..end] : null;
        try
        {
            return scheme?.Split('+')[0] switch
            {
                null => new GlanceConnection(isMySql: false, new NpgsqlConnectionStringBuilder(text).ConnectionString),
                "postgresql" or "postgres" => new GlanceConnection(isMySql: false, Postgres(ConnectionUrl.Parse(text))),
                "mysql" or "mariadb" => new GlanceConnection(isMySql: true, MySql(ConnectionUrl.Parse(text))),
                _ => throw new CommandException(
                    $"A Glance database of kind '{scheme}' cannot be read; postgresql and mysql can."),
            };
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException)
        {
            // What the parsers say may quote a password.
            throw new CommandException(
                "--from is neither a URL such as postgresql://user:password@host/database nor a connection string " +
                "of Npgsql.");
        }
    }

    /// <summary>Opens a connection on which nothing can be changed.</summary>
    /// <exception cref="DbException">The database does not let us in.</exception>
    public async Task<DbConnection> OpenAsync(CancellationToken cancellationToken)
    {
        DbConnection connection = _isMySql ? new MySqlConnection(_settings) : new NpgsqlConnection(_settings);
        try
        {
            await connection.OpenAsync(cancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandText = _isMySql
                ? "set session transaction read only"
                : "set session characteristics as transaction read only";
            await command.ExecuteNonQueryAsync(cancellationToken);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private static string Postgres(ConnectionUrl url)
    {
        var settings = new NpgsqlConnectionStringBuilder
        {
            Host = url.Option("host") ?? url.Host,
            Database = url.Database,
            Username = url.User,
            Password = url.Password,
        };
        settings.Port = url.Port ?? settings.Port;
        if (url.Option("sslmode") is { } mode)
        {
            settings.SslMode = Enum.Parse<SslMode>(mode.Replace("-", "", StringComparison.Ordinal), ignoreCase: true);
        }

        settings.RootCertificate = url.Option("sslrootcert");
        url.RequireAllRead();
        return settings.ConnectionString;
    }

    private static string MySql(ConnectionUrl url)
    {
        var settings = new MySqlConnectionStringBuilder
        {
            Server = url.Option("unix_socket") ?? url.Host,
            Database = url.Database,
            UserID = url.User,
            Password = url.Password,
            GuidFormat = MySqlGuidFormat.None, // ids are texts, kept as they are written
        };
        settings.Port = (uint?)url.Port ?? settings.Port;
        if (settings.Server.StartsWith('/'))
        {
            settings.ConnectionProtocol = MySqlConnectionProtocol.UnixSocket;
        }

        if (url.Option("ssl_ca") is { } authority)
        {
            settings.SslCa = authority;
            settings.SslMode = MySqlSslMode.VerifyCA;
        }

        _ = url.Option("charset"); // always utf8mb4 here
        url.RequireAllRead();
        return settings.ConnectionString;
    }
}
