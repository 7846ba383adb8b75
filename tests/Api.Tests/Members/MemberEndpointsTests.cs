namespace Registry.Api.Tests.Members;

public sealed class MemberEndpointsTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Fact]
    public async Task A_shared_image_gains_a_member_that_answers_and_leaves()
    {
        var id = await app.CreateAsync();
        using (var added = await app.SendAsync(HttpMethod.Post, $"/v2/images/{id}/members", """{"member":"p1"}"""))
        {
            Assert.Equal(200, (int)added.StatusCode);
            var member = await RegistryApp.JsonAsync(added);
            Assert.Equal("p1", member.GetProperty("member_id").GetString());
            Assert.Equal(id, member.GetProperty("image_id").GetString());
            Assert.Equal("pending", member.GetProperty("status").GetString());
            Assert.Equal("/v2/schemas/member", member.GetProperty("schema").GetString());
        }

        using (var again = await app.SendAsync(HttpMethod.Post, $"/v2/images/{id}/members", """{"member":"p1"}"""))
        {
            Assert.Equal(409, (int)again.StatusCode);
        }

        using (var answered = await app.SendAsync(
            HttpMethod.Put, $"/v2/images/{id}/members/p1", """{"status":"accepted"}"""))
        {
            Assert.Equal("accepted", (await RegistryApp.JsonAsync(answered)).GetProperty("status").GetString());
        }

        using (var listed = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/members"))
        {
            var members = await RegistryApp.JsonAsync(listed);
            Assert.Equal(
                "accepted",
                Assert.Single(members.GetProperty("members").EnumerateArray()).GetProperty("status").GetString());
            Assert.Equal("/v2/schemas/members", members.GetProperty("schema").GetString());
        }

        foreach (var status in new[] { 204, 404 })
        {
            using var removed = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}/members/p1");
            Assert.Equal(status, (int)removed.StatusCode);
        }
    }

    [Theory]
    [InlineData("GET", "", null, 403)]
    [InlineData("POST", "", """{"member":"p1"}""", 403)]
    [InlineData("GET", "/p1", null, 404)]
    [InlineData("PUT", "/p1", """{"status":"accepted"}""", 403)]
    [InlineData("DELETE", "/p1", null, 403)]
    public async Task Only_shared_images_have_members(string method, string path, string? body, int status)
    {
        var id = await app.CreateAsync(extra: ""","visibility":"private" """);
        using var response = await app.SendAsync(new HttpMethod(method), $"/v2/images/{id}/members{path}", body);
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("POST", "", "{}", 400)]
    [InlineData("POST", "", """{"member":7}""", 400)]
    [InlineData("POST", "", """{"member":""}""", 400)]
    [InlineData("PUT", "/p1", """{"status":"maybe"}""", 400)]
    [InlineData("PUT", "/p1", """{"status":"accepted"}""", 404)]
    public async Task A_malformed_membership_is_refused(string method, string path, string body, int status)
    {
        var id = await app.CreateAsync();
        using var response = await app.SendAsync(new HttpMethod(method), $"/v2/images/{id}/members{path}", body);
        Assert.Equal(status, (int)response.StatusCode);
    }
}
