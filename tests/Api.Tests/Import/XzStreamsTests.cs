using Registry.Api.Import;

namespace Registry.Api.Tests.Import;

/// <summary>Random .xz files of several streams come to what the xz program makes of them.</summary>
public sealed class XzStreamsTests
{
    private static readonly string[][] Options =
    [
        ["-0"], ["-6e"], ["--check=none"], ["--check=crc32"], ["--check=sha256"], ["-T2", "--block-size=4KiB"],
        ["--lzma2=preset=1,lc=1,lp=2,pb=0"], ["--arm", "--lzma2"],
    ];

    [Fact]
    public async Task Random_layouts_come_to_what_xz_makes_of_them()
    {
        var random = new Random(22);
        for (var round = 0; round < 12; round++)
        {
            var packed = new List<byte>();
            for (var streams = random.Next(1, 5); streams > 0; streams--)
            {
                var content = new byte[random.Next(4) == 0 ? 0 : random.Next(1, 40_000)];
                random.NextBytes(content.AsSpan(content.Length / 2));
                packed.AddRange(await Packer.RunAsync("xz", content, Options[random.Next(Options.Length)]));
                packed.AddRange(new byte[4 * random.Next(3) * random.Next(2_000)]);
            }

            byte[] file = [.. packed];
            await XzLayout.CheckAsync(new MemoryStream(file), RegistryApp.Stop);
            var expected = await Packer.RunAsync("xz", file, "-d");
            foreach (var (isInMemory, piece) in new[] { (true, 1000), (true, 1 << 20), (false, 7001) })
            {
                Assert.Equal(expected, await UnpackAsync(file, isInMemory, piece));
            }
        }
    }

    private static async Task<byte[]> UnpackAsync(byte[] file, bool isInMemory, int pieceBytes)
    {
        await using var unpacked = new XzStreams(new BufferedStream(new MemoryStream(file), 64), isInMemory);
        using var whole = new MemoryStream();
        await unpacked.CopyToAsync(whole, pieceBytes, RegistryApp.Stop);
        return whole.ToArray();
    }
}
