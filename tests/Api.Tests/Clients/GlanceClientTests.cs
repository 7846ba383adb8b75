using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Clients;

/// <summary>The glance command (python3-glanceclient) works with the registry as with Glance.</summary>
/// <remarks>Every scenario runs more than one command in one home directory: from the second on the client builds its
/// options from the server's schema, which breaks it when the schema names what it has options for already.</remarks>
public sealed class GlanceClientTests(ClientLab lab)
{
    [Fact]
    public Task An_image_lives_from_create_to_delete() => RunAsync(
        new("image-create --id {uuid} --name {name} --disk-format qcow2 --container-format bare --file {qcow2} " +
            "--property os_distro=debian --tag one",
            0, "active", "os_distro", "sha512"),
        new("image-list", 0, "{uuid}", "{name}"),
        new("image-show {uuid}", 0, "debian", "virtual_size     | 3145728"),
        new("image-download --file {copy} {uuid}"),
        new("image-update --property os_version=12 --remove-property os_distro --name {name}-renamed " +
            "--min-ram 64 {uuid}",
            0, "os_version", "{name}-renamed", "min_ram          | 64"),
        new("image-tag-update {uuid} two", 0, "two"),
        new("image-tag-delete {uuid} two"),
        new("image-list --tag one --property-filter os_version=12 --sort name:desc --page-size 2", 0, "{uuid}"),
        new("image-delete {uuid}"),
        new("image-show {uuid}", 1, "HTTP 404 Not Found: No image found with ID {uuid}"));

    [Fact]
    public async Task What_is_downloaded_is_what_was_uploaded()
    {
        var words = lab.Words;
        await RunOnAsync(
            words,
            new("image-create --id {uuid} --name {name} --disk-format raw --container-format bare", 0, "queued"),
            new("image-upload --file {raw} {uuid}"),
            new("image-download --file {copy} {uuid}"),
            new("image-upload --file {raw} {uuid}", 1,
                "HTTP 409 Conflict: Image status transition from active to saving is not allowed"),
            new("image-delete {uuid}"));

        Assert.Equal(
            await File.ReadAllBytesAsync(words["raw"], TestContext.Current.CancellationToken),
            await File.ReadAllBytesAsync(words["copy"], TestContext.Current.CancellationToken));
    }

    [Fact]
    public Task An_image_is_shared_with_a_project() => RunAsync(
        new("image-create --id {uuid} --name {name} --visibility shared", 0, "shared"),
        new("member-create {uuid} {project}", 0, "pending"),
        new("member-list --image-id {uuid}", 0, "{project}"),
        new("member-update {uuid} {project} accepted", 0, "accepted"),
        new("member-delete {uuid} {project}"),
        new("image-delete {uuid}"));

    [Fact]
    public Task An_image_is_switched_off_and_on() => RunAsync(
        new("image-create --id {uuid} --name {name} --disk-format raw --container-format bare --file {raw}", 0,
            "active"),
        new("image-deactivate {uuid}"),
        new("image-show {uuid}", 0, "deactivated"),
        new("image-reactivate {uuid}"),
        new("image-show {uuid}", 0, "active"),
        new("image-delete {uuid}"));

    [Fact]
    public Task Content_of_another_format_is_refused_and_the_image_can_be_uploaded_again() => RunAsync(
        new("image-create --id {uuid} --name {name} --disk-format qcow2 --container-format bare", 0, "queued"),
        new("image-upload --file {raw} {uuid}", 1, "HTTP 415",
            "Image disk_format qcow2 does not match stream data raw"),
        new("image-show {uuid}", 0, "queued"),
        new("image-upload --file {qcow2} {uuid}"),
        new("image-show {uuid}", 0, "active"),
        new("image-delete {uuid}"));

    [Fact]
    public Task An_image_is_imported() => RunAsync(
        new("import-info", 0, "web-download", "copy-image"),
        new("image-create-via-import --id {uuid} --name {name} --disk-format qcow2 --container-format bare " +
            "--file {qcow2}",
            0, "{uuid}"),
        new("task-list", 0, "api_image_import"));

    [Fact]
    public Task An_image_is_staged_and_imported_step_by_step() => RunAsync(
        new("image-create --id {uuid} --name {name} --disk-format raw --container-format bare", 0, "queued"),
        new("image-import --import-method glance-direct {uuid}", 1, "in status 'uploading'"),
        new("image-stage --file {raw} {uuid}"),
        new("image-show {uuid}", 0, "uploading"),
        new("image-import --import-method glance-direct {uuid}", 0, "{uuid}"),
        new("task-list --status failure"),
        new("task-list --sort-key status --sort-dir asc --page-size 1", 0, "api_image_import"));

    [Fact]
    public Task A_download_from_inside_is_refused() => RunAsync(
        new("image-create --id {uuid} --name {name} --disk-format raw --container-format bare", 0, "queued"),
        new("image-import --import-method web-download --uri http://127.0.0.1/ {uuid}", 1,
            "The address to download from is not allowed."),
        new("image-delete {uuid}"));

    private Task RunAsync(params ClientStep[] steps) => RunOnAsync(lab.Words, steps);

    private async Task RunOnAsync(IReadOnlyDictionary<string, string> words, params ClientStep[] steps)
    {
        ExternalTool.Require("qemu-img");
        var registry = await lab.RegistryAsync();
        await ClientCommand.Glance(await lab.ClientsAsync(), registry.Url, lab.NewHome(), words).RunAsync(steps);
    }
}
