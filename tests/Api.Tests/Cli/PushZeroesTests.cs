using Registry.Api.ImageData;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A file with more holes than may be named is pushed all the same.</summary>
public sealed class PushZeroesTests
{
    [Fact]
    public async Task Holes_beyond_the_budget_are_sent_as_data()
    {
        await using var app = new RegistryApp { Settings = { ["Registry:Limits:ImageSizeCapBytes"] = $"{1L << 30}" } };
        await app.InitializeAsync();
        using var directory = new TempDirectory();
        var path = directory.File("disk.raw");
        await using (var file = File.Create(path))
        {
            file.SetLength(ZeroBudget.FreeBytes + (8 << 20));
            file.Position = ZeroBudget.FreeBytes + (4 << 20);
            file.Write([1, 2, 3]);
        }

        var pushed = await RegistryCommandLine.RunAsync("push", path, "--name", "holes", "--url", app.Url.ToString());
        Assert.True(pushed.ExitCode == 0, pushed.Error);
        using var listed = await app.SendAsync(HttpMethod.Get, "/v2/images?name=holes");
        var image = (await RegistryApp.JsonAsync(listed)).GetProperty("images")[0];
        Assert.Equal("active", image.GetProperty("status").GetString());
        Assert.Equal(ZeroBudget.FreeBytes + (8 << 20), image.GetProperty("size").GetInt64());
    }
}
