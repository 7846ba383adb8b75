namespace Registry.Api.Tests.Import;

/// <summary>A download does not disclose which names an internal network has.</summary>
public sealed class UnknownNameTests : ImportLab
{
    public UnknownNameTests()
        : base(("Registry:Outbound:AllowedNetworks", ""), ("Registry:Outbound:ResumesMax", "8"))
    {
    }

    [Fact]
    public async Task Internal_and_unknown_names_are_refused_with_the_same_words_and_at_once()
    {
        var answers = new List<string>();
        foreach (var url in new[]
        {
            "http://localhost/x", "http://no-such-name.invalid/x", "http://a.no-such-name.invalid:8080/x",
            "http://localhost:1/x", "https://no-such-name.invalid/x",
        })
        {
            var id = await App.CreateAsync();
            var started = TimeProvider.System.GetTimestamp();
            await DownloadAsync(id, url);
            answers.Add(await FailAsync(id));

            // An address that does not answer is tried for half a minute; what is not allowed is never tried again.
            Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        }

        Assert.Equal("The address to download from is not allowed.", Assert.Single(answers.Distinct()));
    }
}
