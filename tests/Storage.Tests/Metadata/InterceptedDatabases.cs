using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

/// <summary>A database with something between it and the code that is tried.</summary>
internal sealed class InterceptedDatabases(DatabaseOptions options, IInterceptor interceptor)
    : IDbContextFactory<RegistryDb>
{
    private readonly DbContextOptions<RegistryDb> _options = Build(options, interceptor);

    public RegistryDb CreateDbContext() => new(_options);

    private static DbContextOptions<RegistryDb> Build(DatabaseOptions options, IInterceptor interceptor)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, options);
        return builder.AddInterceptors(interceptor).Options;
    }
}
