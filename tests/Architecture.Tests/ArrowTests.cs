using System.Reflection;
using Xunit;

namespace Registry.Architecture.Tests;

/// <summary>api -> {engine, storage}; engine and storage do not know each other.</summary>
public sealed class ArrowTests
{
    private const string Engine = "Registry.Engine";
    private const string Storage = "Registry.Storage";
    private const string Api = "registry";

    [Fact]
    public void Engine_knows_the_runtime_and_zstd_only()
    {
        var others = References(Engine).Where(name => !IsRuntime(name) && name != "ZstdSharp");

        Assert.Empty(others);
    }

    [Fact]
    public void Storage_knows_neither_engine_nor_api()
    {
        Assert.DoesNotContain(Engine, References(Storage));
        Assert.DoesNotContain(Api, References(Storage));
    }

    [Fact]
    public void Storage_knows_no_web_server()
    {
        Assert.DoesNotContain(
            References(Storage), name => name.StartsWith("Microsoft.AspNetCore", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_remembered_knows_no_database_and_no_store()
    {
        string[] foreign = ["Microsoft.EntityFrameworkCore", "Npgsql", "Minio"];
        var offenders =
            from file in SourceTree.Files("storage")
            where file.Path.StartsWith("storage/Domain/", StringComparison.Ordinal)
            from line in file.CodeLines
            where foreign.Any(name => line.Text.Contains(name, StringComparison.Ordinal))
            select $"{file.Path}:{line.Number}: {line.Text.Trim()}";

        Assert.Empty(offenders);
    }

    [Fact]
    public void The_S3_client_stays_with_the_blobs()
    {
        var offenders =
            from file in SourceTree.Files("storage", "api", "engine")
            where !file.Path.StartsWith("storage/Blobs/", StringComparison.Ordinal)
            from line in file.CodeLines
            where line.Text.Contains("using Minio", StringComparison.Ordinal)
            select $"{file.Path}:{line.Number}";

        Assert.Empty(offenders);
    }

    [Theory]
    [InlineData(Engine)]
    [InlineData(Storage)]
    public void Classes_are_sealed_unless_something_derives_from_them(string assembly)
    {
        var types = Assembly.Load(assembly).GetTypes();
        var bases = types.Select(type => type.BaseType).Where(type => type is not null)
            .Select(type => type!.IsGenericType ? type.GetGenericTypeDefinition() : type)
            .ToHashSet();
        var open = types.Where(type =>
            type is { IsClass: true, IsSealed: false, IsAbstract: false }
            && type.Namespace?.StartsWith(assembly, StringComparison.Ordinal) == true
            && !type.Name.Contains('<')
            && !bases.Contains(type));

        Assert.Empty(open.Select(type => type.FullName));
    }

    private static string[] References(string assembly) =>
        [.. Assembly.Load(assembly).GetReferencedAssemblies().Select(name => name.Name!)];

    private static bool IsRuntime(string name) =>
        name.StartsWith("System.", StringComparison.Ordinal) || name == "Microsoft.Win32.Primitives";
}
