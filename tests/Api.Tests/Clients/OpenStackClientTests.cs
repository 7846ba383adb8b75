using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Clients;

/// <summary>The openstack command (python3-openstackclient) works with the registry as with Glance.</summary>
public sealed class OpenStackClientTests(ClientLab lab)
{
    [Fact]
    public Task An_image_lives_from_create_to_delete() => RunAsync(
        new("image create --disk-format qcow2 --container-format bare --file {qcow2} --property os_distro=debian " +
            "--tag one {name} -f value -c id")
        {
            Keep = "id",
        },
        new("image list -f value -c Name -c Status", 0, "{name} active"),
        new("image show {name} -f json", 0, "\"status\": \"active\"", "\"os_distro\": \"debian\"",
            "\"os_hash_algo\": \"sha512\""),
        new("image show {id} -f value -c name", 0, "{name}"),
        new("image save --file {copy} {id}"),
        new("image set --property os_version=12 --min-disk 2 --min-ram 64 --tag two {id}"),
        new("image show {id} -f json", 0, "\"min_disk\": 2", "\"min_ram\": 64", "\"os_version\": \"12\"", "two"),
        new("image unset --property os_version --tag one {id}"),
        new("image list --tag two --status active --property os_distro=debian -f value -c ID", 0, "{id}"),
        new("image set --name {name}-renamed {id}"),
        new("image delete {name}-renamed"),
        new("image show {id}", 1, "No Image found for {id}"));

    [Fact]
    public async Task What_is_saved_is_what_was_created()
    {
        var words = lab.Words;
        await RunOnAsync(
            words,
            new("image create --disk-format raw --container-format bare --file {raw} {name}"),
            new("image save --file {copy} {name}"),
            new("image delete {name}"));

        Assert.Equal(
            await File.ReadAllBytesAsync(words["raw"], TestContext.Current.CancellationToken),
            await File.ReadAllBytesAsync(words["copy"], TestContext.Current.CancellationToken));
    }

    [Fact]
    public Task A_deactivated_image_cannot_be_saved_by_accident_and_comes_back() => RunAsync(
        new("image create --disk-format raw --container-format bare --file {raw} {name} -f value -c id")
        {
            Keep = "id",
        },
        new("image set --deactivate {id}"),
        new("image show {id} -f value -c status", 0, "deactivated"),
        new("image set --activate {id}"),
        new("image show {id} -f value -c status", 0, "active"),
        new("image delete {id}"));

    [Fact]
    public Task An_image_is_shared_with_a_project() => RunAsync(
        new("image create --shared --disk-format raw --container-format bare {name} -f value -c id") { Keep = "id" },
        new("image add project {id} {project}", 0, "pending"),
        new("image member list {id} -f value", 0, "{project} pending"),
        new("image set --private {id}"),
        new("image show {id} -f value -c visibility", 0, "private"),
        new("image set --community {id}"),
        new("image show {id} -f value -c visibility", 0, "community"),
        new("image delete {id}"));

    [Fact]
    public Task A_protected_image_is_not_deleted() => RunAsync(
        // Without a file this client sends a property of its own making, which Glance refuses too.
        new("image create --protected --disk-format raw --container-format bare --file {raw} {name} -f value -c id")
        {
            Keep = "id",
        },
        new("image delete {id}", 1, "403", "is protected and cannot be deleted"),
        new("image set --unprotected {id}"),
        new("image delete {id}"));

    [Fact]
    public Task Content_of_another_format_is_refused() => RunAsync(
        new ClientStep(
            "image create --id {uuid} --disk-format vmdk --container-format bare --file {qcow2} {name}", 1, "415"));

    [Fact]
    public Task A_taken_id_and_a_missing_image_are_told() => RunAsync(
        new("image create --id {uuid} --disk-format raw --container-format bare {name} -f value -c status", 0,
            "queued"),
        new("image create --id {uuid} --disk-format raw --container-format bare other", 1, "409"),
        new("image delete {uuid}"),
        new("image delete {uuid}", 1, "No Image found"));

    [Fact]
    public async Task An_image_is_imported()
    {
        await RunAsync(
            new("image create --import --disk-format qcow2 --container-format bare --file {qcow2} {name} " +
                "-f value -c id")
            {
                Keep = "id",
            },
            new("image show {id} -f value -c name", 0, "{name}"));
    }

    private Task RunAsync(params ClientStep[] steps) => RunOnAsync(lab.Words, steps);

    private async Task RunOnAsync(IReadOnlyDictionary<string, string> words, params ClientStep[] steps)
    {
        ExternalTool.Require("qemu-img");
        var registry = await lab.RegistryAsync();
        await ClientCommand.OpenStack(await lab.ClientsAsync(), registry.Url, lab.NewHome(), words).RunAsync(steps);
    }
}
