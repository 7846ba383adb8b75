using Xunit;

namespace Registry.Api.Tests.Clients;

/// <summary>The glance command's md- verbs, all of them, work with the registry as with Glance.</summary>
/// <remarks>But for md-tag-create-multiple --append: Debian's client stumbles over its own header before it sends
/// anything.</remarks>
public sealed class GlanceMetadefTests(ClientLab lab)
{
    private const string Size = """{"type":"integer","minimum":1}""";
    private const string Thing = """{"description":"described","properties":{"p":{"title":"Inner","type":"string"}}}""";

    [Fact]
    public Task A_namespace_lives_from_create_to_delete() => RunAsync(
        new("md-namespace-create {name} --display-name Shown --visibility public --protected True", 0, "{name}", "Shown"),
        new("md-namespace-list --visibility public --page-size 1", 0, "{name}"),
        new("md-namespace-show {name}", 0, "public", "Shown"),
        new("md-namespace-delete {name}", 1, "HTTP 403"),
        new("md-namespace-update {name} --description Described --protected False", 0, "Described", "Shown"),
        new("md-namespace-update {name} --namespace {uuid}", 0, "{uuid}"),
        new("md-namespace-show {name}", 1, "HTTP 404"),
        new("md-namespace-create {uuid}", 1, "HTTP 409"),
        new("md-namespace-delete {uuid}"));

    [Fact]
    public Task Properties_and_resource_types_come_and_go() => RunAsync(
        new("md-namespace-create {name}", 0, "private"),
        new("md-resource-type-associate {name} --name {uuid} --prefix t_ --properties-target image", 0, "{uuid}", "t_"),
        new("md-resource-type-list", 0, "{uuid}"),
        new("md-namespace-resource-type-list {name}", 0, "{uuid}", "t_", "image"),
        new("md-namespace-list --resource-types {uuid}", 0, "{name}"),
        new($"md-property-create {{name}} --name size --title Size --schema {Size}", 0, "Size", "integer"),
        new($"md-property-create {{name}} --name size --title Size --schema {Size}", 1, "HTTP 409"),
        new("md-property-list {name}", 0, "size", "integer"),
        new("md-namespace-show {name} --resource-type {uuid}", 0, "t_size"),
        new("md-property-update {name} size --name extent --title Extent", 0, "extent", "Extent"),
        new("md-property-show {name} extent", 0, "Extent", "minimum"),
        new("md-property-delete {name} extent"),
        new("md-property-show {name} extent", 1, "HTTP 404"),
        new("md-namespace-properties-delete {name}"),
        new("md-resource-type-deassociate {name} {uuid}"),
        new("md-namespace-delete {name}"));

    [Fact]
    public Task Objects_and_tags_come_and_go() => RunAsync(
        new("md-namespace-create {name}", 0, "private"),
        new($"md-object-create {{name}} --name thing --schema {Thing}", 0, "described"),
        new("md-object-list {name}", 0, "thing"),
        new("md-object-show {name} thing", 0, "described", "p"),
        new("md-object-property-show {name} thing p", 0, "Inner"),
        new("md-object-update {name} thing --name other", 0, "other", "described"),
        new("md-object-delete {name} other"),
        new("md-object-show {name} other", 1, "HTTP 404"),
        new("md-tag-create {name} --name red", 0, "red"),
        new("md-tag-create {name} --name RED", 1, "HTTP 409"),
        new("md-tag-list {name}", 0, "red"),
        new("md-tag-update {name} red --name crimson", 0, "crimson"),
        new("md-tag-show {name} crimson", 0, "crimson"),
        new("md-tag-create-multiple {name} --names one;two --delim ;", 0, "one", "two"),
        new("md-tag-show {name} crimson", 1, "HTTP 404"),
        new("md-tag-delete {name} one"),
        new("md-namespace-show {name}", 0, "two"),
        new("md-namespace-tags-delete {name}"),
        new("md-namespace-objects-delete {name}"),
        new("md-namespace-delete {name}"));

    [Fact]
    public async Task A_namespace_is_imported_from_a_file()
    {
        var words = new Dictionary<string, string>(lab.Words);
        var home = lab.NewHome();
        words["file"] = Path.Combine(home, "namespace.json");
        await File.WriteAllTextAsync(
            words["file"],
            $$"""
            {
              "namespace": "{{words["name"]}}", "tags": [{"name": "red"}], "objects": [{"name": "thing"}],
              "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:"}],
              "properties": {"size": {"title": "Size", "type": "integer"} }
            }
            """,
            TestContext.Current.CancellationToken);
        var registry = await lab.RegistryAsync();
        await ClientCommand.Glance(await lab.ClientsAsync(), registry.Url, home, words).RunAsync(
        [
            new("md-namespace-import --file {file}", 0, "OS::Nova::Flavor", "thing", "red"),
            new("md-namespace-show {name}", 0, "size", "thing", "red"),
            new("md-namespace-update {name} --description Described", 0, "Described", "thing"),
            new("md-namespace-delete {name}"),
        ]);
    }

    private async Task RunAsync(params ClientStep[] steps)
    {
        var registry = await lab.RegistryAsync();
        await ClientCommand.Glance(await lab.ClientsAsync(), registry.Url, lab.NewHome(), lab.Words).RunAsync(steps);
    }
}
