using System.Buffers.Binary;
using System.Net.Http.Json;
using System.Text.Json;

namespace Registry.Api.Tests.Nbd;

/// <summary>Random writes, zeroes and reads over an image, beside the same on an array.</summary>
public sealed class NbdOverlayProperties(NbdApp app) : IClassFixture<NbdApp>
{
    private const int DiskBytes = (2 << 20) + 512;

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public async Task An_overlay_is_what_was_written_to_it(int seed, bool isStructured)
    {
        var random = new Random(seed);
        var image = new byte[DiskBytes];
        random.NextBytes(image.AsSpan(300_000, 900_000));
        random.NextBytes(image.AsSpan(DiskBytes - 1000));
        var id = await app.UploadAsync(image);
        using var wire = await NbdWire.OpenAsync(app.Port, $"{id}+overlay=kept-{id}", isStructured);
        using var other = await NbdWire.OpenAsync(app.Port, id + "+overlay", isStructured);
        var model = image.ToArray();
        for (var i = 0; i < 150; i++)
        {
            var offset = random.Next(DiskBytes);
            var length = Math.Min(DiskBytes - offset, 1 + (int)Math.Pow(2, random.NextDouble() * 19));
            switch (random.Next(4))
            {
                case 0:
                    var data = new byte[length];
                    random.NextBytes(data);
                    Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Write, offset, length, 1, data)).Error);
                    data.CopyTo(model, offset);
                    break;
                case 1:
                    Assert.Equal(0u, (await wire.RequestAsync(NbdWire.WriteZeroes, offset, length, 2)).Error);
                    model.AsSpan(offset, length).Clear();
                    break;
                case 2:
                    // Whole chunks become zeroes, others stay: either is allowed, this is what we do.
                    Assert.Equal(0u, (await wire.RequestAsync(NbdWire.Trim, offset, length)).Error);
                    var (first, end) = ((offset + 65535) & ~65535, offset + length);
                    end = end == DiskBytes ? end : end & ~65535;
                    model.AsSpan(first < end ? first..end : 0..0).Clear();
                    break;
                default:
                    var got = await wire.ReadAsync(offset, length);
                    Assert.True(model.AsSpan(offset, length).SequenceEqual(got), $"step {i}: {offset} {length}");
                    break;
            }
        }

        Assert.Equal(model, await wire.ReadAsync(0, DiskBytes));
        Assert.Equal(image, await other.ReadAsync(0, DiskBytes));
        if (isStructured)
        {
            var reply = await wire.RequestAsync(NbdWire.Status, 0, DiskBytes);
            var told = 0;
            foreach (var run in Assert.Single(reply.Chunks).Payload[4..].Chunk(8))
            {
                var length = BinaryPrimitives.ReadInt32BigEndian(run);
                var isZero = BinaryPrimitives.ReadInt32BigEndian(run.AsSpan(4)) == 3;
                Assert.False(isZero && model.AsSpan(told, length).ContainsAnyExcept((byte)0), $"{told} {length}");
                told += length;
            }

            Assert.Equal(DiskBytes, told);
        }

        await wire.SendAsync(NbdWire.Disconnect, 0, 0);
        Assert.True(await wire.IsEndedAsync(TimeSpan.FromSeconds(60)));
        var made = await app.Http.GetFromJsonAsync<JsonElement>($"/v2/images?name=kept-{id}", RegistryApp.Stop);
        var kept = Assert.Single(made.GetProperty("images").EnumerateArray()).GetProperty("id").GetString();
        Assert.Equal(model, await app.Http.GetByteArrayAsync($"/registry/v1/images/{kept}/disk", RegistryApp.Stop));
    }
}
