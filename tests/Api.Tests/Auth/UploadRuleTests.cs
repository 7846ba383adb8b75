using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Policy;
using Registry.Api.Tests.Nbd;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>A caller that may not upload gets bytes into an image by no other way.</summary>
public sealed class UploadRuleTests
{
    private static readonly Metadata Owner = ProxyApp.Identity("owner-project");

    [Theory]
    [InlineData("role:seeder", false)]
    [InlineData("role:seeder and role:member", false)]
    [InlineData("role:member", true)]
    public async Task What_uploads_are_denied_overlays_clones_and_provisions_are_denied_too(string rule, bool isAllowed)
    {
        await using var lab = await ProxyApp.StartAsync($"upload_image: \"{rule}\"\n");
        var id = await SourceAsync(lab);
        var before = await CountAsync(lab);
        var order = $$"""{"image_id":"{{id}}","name":"made"}""";
        Assert.Equal(isAllowed ? 202 : 403, await lab.StatusAsync(Owner, "POST", "/registry/v1/provisions", order));
        var jobs = new Protos.V1.Jobs.JobsClient(lab.App.Grpc);
        var clone = jobs.ProvisionAsync(
            new ProvisionImageRequest { ImageId = id, Name = "made" }, Owner, cancellationToken: RegistryApp.Stop);
        if (isAllowed)
        {
            await clone;
        }
        else
        {
            var refused = await Assert.ThrowsAsync<RpcException>(() => clone.ResponseAsync);
            Assert.Equal(StatusCode.PermissionDenied, refused.StatusCode);
        }

        var nbd = $"/registry/v1/images/{id}/nbd";
        Assert.Equal(isAllowed ? 201 : 403, await lab.StatusAsync(Owner, "POST", nbd, """{"keep_as":"kept"}"""));
        Assert.Equal(201, await lab.StatusAsync(Owner, "POST", nbd, """{"overlay":true}"""));
        Assert.Equal(201, await lab.StatusAsync(Owner, "POST", nbd));
        Assert.Equal(before + (isAllowed ? 2 : 0), await CountAsync(lab));
    }

    [Fact]
    public async Task An_export_name_keeps_nothing_that_the_rule_denies()
    {
        using var directory = new Support.TempDirectory();
        var policy = directory.File("policy.yaml");
        await File.WriteAllTextAsync(policy, "{}", RegistryApp.Stop);
        await using var app = new NbdApp { Settings = { ["Registry:Policy:File"] = policy } };
        await app.InitializeAsync();
        var id = await app.UploadAsync(new byte[1 << 20]);
        Assert.Equal(NbdWire.Ack, await GoAsync(app, $"{id}+overlay=kept"));
        await File.WriteAllTextAsync(policy, "upload_image: \"!\"\nread-again: \"@\"\n", RegistryApp.Stop);
        while (!app.Services.GetRequiredService<PolicyEngine>().Knows("read-again"))
        {
            await Task.Delay(20, RegistryApp.Stop);
        }

        Assert.Equal(NbdWire.Policy, await GoAsync(app, $"{id}+overlay=kept"));
        Assert.Equal(NbdWire.Ack, await GoAsync(app, $"{id}+overlay"));
    }

    private static async Task<uint> GoAsync(NbdApp app, string name)
    {
        using var wire = await NbdWire.ConnectAsync(app.Port);
        return (await wire.AskAsync(NbdWire.Go, [.. NbdWire.Text(name), 0, 0]))[^1].Type;
    }

    private static async Task<string> SourceAsync(ProxyApp lab)
    {
        var seeder = ProxyApp.Identity("owner-project", "member,reader,seeder");
        var id = await lab.MakeAsync(seeder, "POST", "/v2/images", """{"disk_format":"raw","container_format":"bare"}""");
        await lab.DoAsync(seeder, "PUT", $"/v2/images/{id}/file", new string('x', 4096));
        return id;
    }

    private static async Task<int> CountAsync(ProxyApp lab)
    {
        using var list = System.Text.Json.JsonDocument.Parse(
            await lab.DoAsync(Owner, "GET", "/v2/images", null));
        return list.RootElement.GetProperty("images").GetArrayLength();
    }
}
