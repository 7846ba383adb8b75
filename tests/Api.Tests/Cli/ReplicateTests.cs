using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>registry replicate, from one registry to another.</summary>
public sealed class ReplicateTests : IAsyncLifetime
{
    private readonly RegistryApp _from = new();
    private readonly RegistryApp _to = new();

    public async ValueTask InitializeAsync()
    {
        await _from.InitializeAsync();
        await _to.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _from.DisposeAsync();
        await _to.DisposeAsync();
    }

    [Fact]
    public async Task The_target_gets_what_the_source_has_and_says()
    {
        var content = Bytes((3 << 20) + 7);
        var plain = await _from.UploadAsync(content, name: "plain");
        var rich = await _from.CreateAsync(
            name: "rich",
            extra: ""","tags":["b","a"],"os_distro":"debian","with/slash~":"x","min_disk":3,"visibility":"public","os_hidden":true""");
        (await _from.PutAsync(rich, Bytes(1 << 20))).Dispose();
        (await _from.PatchAsync(rich, """[{"op":"replace","path":"/protected","value":true}]""")).Dispose();
        var empty = await _from.UploadAsync([], name: "empty");
        var queued = await _from.CreateAsync(name: "queued");

        var wouldBe = await RunAsync(2, "--dry-run");
        Assert.Equal(
            [(empty, "copied"), (plain, "copied"), (queued, "passed"), (rich, "copied")], Outcomes(wouldBe));
        using var none = await _to.SendAsync(HttpMethod.Get, $"/v2/images/{plain}");
        Assert.Equal(404, (int)none.StatusCode);

        var done = await RunAsync(0);
        Assert.Equal(Outcomes(wouldBe), Outcomes(done));
        Assert.Equal(content.Length + (1 << 20), done.GetProperty("bytes").GetInt64());
        foreach (var id in new[] { plain, rich, empty })
        {
            await RequireSameAsync(id);
        }

        Assert.Equal(
            [(empty, "same"), (plain, "same"), (queued, "passed"), (rich, "same")], Outcomes(await RunAsync(0, "--dry-run")));
        var human = await RegistryCommandLine.RunAsync(
            "replicate", "--from", _from.Url.ToString(), "--to", _to.Url.ToString() + "v2");
        Assert.Contains($"same      {plain}  plain", human.Output, StringComparison.Ordinal);
        Assert.EndsWith("3 same, 1 passed; 0 B\n", human.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metadata_that_is_not_the_same_is_made_so_and_named()
    {
        var id = await _from.UploadAsync(Bytes(1000), name: "one");
        await RunAsync(0, id);
        (await _from.PatchAsync(id, """
            [{"op":"replace","path":"/name","value":"two"},{"op":"add","path":"/os_distro","value":"arch"},
             {"op":"replace","path":"/tags","value":["t"]}]
            """)).Dispose();
        (await _to.PatchAsync(id, """[{"op":"add","path":"/extra","value":"x"}]""")).Dispose();
        string[] differences = ["extra", "name", "os_distro", "tags"];
        Assert.Equal(differences, Differences(await RunAsync(2, "two", "--dry-run")));
        Assert.Equal(differences, Differences(await RunAsync(0, "two")));
        await RequireSameAsync(id);
    }

    [Fact]
    public async Task Members_are_copied_and_wait_for_their_answer()
    {
        var id = await _from.UploadAsync(Bytes(1000), name: "one");
        await ShareAsync(_from, id, "first");
        using var accepted = await _from.SendAsync(
            HttpMethod.Put, $"/v2/images/{id}/members/first", """{"status":"accepted"}""");
        Assert.Equal(200, (int)accepted.StatusCode);
        await RunAsync(0, id);
        Assert.Equal([("first", "pending")], await MembersAsync(_to, id));

        await ShareAsync(_from, id, "second");
        await ShareAsync(_to, id, "third");
        Assert.Equal(["members"], Differences(await RunAsync(2, id, "--dry-run")));
        Assert.Equal([("first", "pending"), ("third", "pending")], await MembersAsync(_to, id));
        Assert.Equal([(id, "changed")], Outcomes(await RunAsync(0, id)));
        Assert.Equal(
            [("first", "pending"), ("second", "pending"), ("third", "pending")], await MembersAsync(_to, id));
        Assert.Equal([(id, "same")], Outcomes(await RunAsync(0, id)));
    }

    [Fact]
    public async Task A_member_that_the_target_refuses_is_told()
    {
        var id = await _from.UploadAsync(Bytes(1000), name: "one");
        await ShareAsync(_from, id, "first");
        await using var full = new RegistryApp { Settings = { ["Registry:Limits:Members"] = "0" } };
        await full.InitializeAsync();
        var result = await RegistryCommandLine.RunAsync(
            "replicate", "--from", _from.Url.ToString(), "--to", full.Url.ToString(), "--output=json", id);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("its members: ", result.Output, StringComparison.Ordinal);
        Assert.Equal("active", (await full.ShowAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task What_is_cut_off_is_taken_up_and_verified()
    {
        var id = await _from.UploadAsync(Bytes(5 << 20), name: "one");
        await using var gate = new TcpGate(_from.Url);
        gate.Harm(new GateFault { CutAfter = 2 << 20, Times = 2 });
        await RunAsync(0, gate.Address, id);
        await RequireSameAsync(id);
    }

    [Fact]
    public async Task Bytes_that_change_on_the_way_are_not_taken_and_the_next_run_goes_on()
    {
        var id = await _from.UploadAsync(Bytes(5 << 20), name: "one");
        await using var gate = new TcpGate(_from.Url);
        gate.Harm(new GateFault { FlipAt = 3 << 20 });
        var left = await RunAsync(2, gate.Address, id);
        Assert.Equal([(id, "left")], Outcomes(left));
        Assert.Contains("The bytes do not have the checksum", left.GetRawText(), StringComparison.Ordinal);

        // The target may be at the first attempt still: it has to see that its sender is gone.
        while ((await InvokeAsync(_from.Url, id)).ExitCode != 0)
        {
            Assert.NotEqual("active", (await _to.ShowAsync(id)).GetProperty("status").GetString());
            await Task.Delay(TimeSpan.FromMilliseconds(50), RegistryApp.Stop);
        }

        await RequireSameAsync(id);
    }

    [Fact]
    public async Task What_is_another_image_there_is_left_alone()
    {
        var id = await _from.UploadAsync(Bytes(1000), name: "one");
        await _to.CreateAsync(extra: $",\"id\":\"{id}\"");
        (await _to.PutAsync(id, Bytes(1001))).Dispose();
        var deleted = await _from.UploadAsync(Bytes(10), name: "gone");
        await _to.CreateAsync(extra: $",\"id\":\"{deleted}\"");
        (await _to.SendAsync(HttpMethod.Delete, $"/v2/images/{deleted}")).Dispose();
        var report = await RunAsync(2);
        Assert.Equal([(deleted, "left"), (id, "left")], Outcomes(report));
        Assert.Contains("other bytes under this id", report.GetRawText(), StringComparison.Ordinal);
        Assert.Contains("already exists", report.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_there_is_told_in_one_line()
    {
        await _from.CreateAsync(name: "twice");
        await _from.CreateAsync(name: "twice");
        foreach (var (image, why) in new[]
        {
            ("none", "has 0 images called 'none'"), ("twice", "has 2 images called"),
            (Guid.NewGuid().ToString(), "has no image"),
        })
        {
            var result = await RegistryCommandLine.RunAsync(
                "replicate", "--from", _from.Url.ToString(), "--to", _to.Url.ToString(), image);
            Assert.Equal(1, result.ExitCode);
            Assert.Contains(why, result.Error, StringComparison.Ordinal);
        }

        var nobody = await RegistryCommandLine.RunAsync(
            "replicate", "--from", $"http://127.0.0.1:{Ports.Free()}", "--to", _to.Url.ToString());
        Assert.Equal(1, nobody.ExitCode);
        Assert.Single(nobody.Error.TrimEnd().Split('\n'));
    }

    private static async Task ShareAsync(RegistryApp app, string id, string member)
    {
        using var added = await app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/members", $$"""{"member":"{{member}}"}""");
        Assert.Equal(200, (int)added.StatusCode);
    }

    private static async Task<IEnumerable<(string?, string?)>> MembersAsync(RegistryApp app, string id) =>
        JsonDocument.Parse(await app.Http.GetByteArrayAsync($"/v2/images/{id}/members", RegistryApp.Stop)).RootElement
            .GetProperty("members").EnumerateArray()
            .Select(member => (member.GetProperty("member_id").GetString(), member.GetProperty("status").GetString()))
            .OrderBy(member => member.Item1, StringComparer.Ordinal);

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    private static List<(string Id, string Outcome)> Outcomes(JsonElement report) =>
    [
        .. report.GetProperty("images").EnumerateArray()
            .Select(line => (Id: line.GetProperty("id").GetString()!, Name: line.GetProperty("name").GetString(),
                Outcome: line.GetProperty("outcome").GetString()!))
            .OrderBy(line => line.Name, StringComparer.Ordinal).Select(line => (line.Id, line.Outcome)),
    ];

    private static IEnumerable<string?> Differences(JsonElement report) =>
        report.GetProperty("images")[0].GetProperty("differences").EnumerateArray().Select(name => name.GetString());

    private Task<JsonElement> RunAsync(int code, params string[] arguments) => RunAsync(code, _from.Url, arguments);

    private async Task<JsonElement> RunAsync(int code, Uri from, params string[] arguments)
    {
        var result = await InvokeAsync(from, arguments);
        Assert.True(code == result.ExitCode, result.Output + result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private Task<ToolResult> InvokeAsync(Uri from, params string[] arguments) => RegistryCommandLine.RunAsync(
        ["replicate", "--from", from.ToString(), "--to", _to.Url.ToString(), "--output=json", .. arguments]);

    private async Task RequireSameAsync(string id)
    {
        var (theirs, ours) = (await _from.ShowAsync(id), await _to.ShowAsync(id));
        Assert.Equal(Said(theirs), Said(ours));
        Assert.Equal(
            await _from.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop),
            await _to.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }

    // All but the times.
    private static IEnumerable<string> Said(JsonElement image) => image.EnumerateObject()
        .Where(member => member.Name is not ("created_at" or "updated_at"))
        .Select(member => member.Name == "tags"
            ? string.Join(',', member.Value.EnumerateArray().Select(tag => tag.GetString()).Order())
            : $"{member.Name}={member.Value}")
        .Order(StringComparer.Ordinal);
}
