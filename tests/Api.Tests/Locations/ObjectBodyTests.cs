using Registry.Api.Locations;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Locations;

/// <summary>Reading an object whose owner does not keep still.</summary>
public sealed class ObjectBodyTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(11)]
    public async Task An_object_is_read_to_its_end(int length)
    {
        var objects = new Objects(new byte[length]);
        var body = await ObjectBody.OpenAsync(objects, "x", _ => { }, RegistryApp.Stop);
        Assert.Equal(length, body.Length);
        var (read, buffer) = (0, new byte[5]);
        while (await body.FillAsync(buffer, RegistryApp.Stop) is > 0 and var filled)
        {
            read += filled;
        }

        Assert.Equal(length, read);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task An_object_that_changes_is_not_taken(int afterReads)
    {
        var objects = new Objects(new byte[12]) { ChangesAfter = afterReads };
        var body = await ObjectBody.OpenAsync(objects, "x", _ => { }, RegistryApp.Stop);
        var refusal = await Assert.ThrowsAsync<RegistryException>(async () =>
        {
            while (await body.FillAsync(new byte[5], RegistryApp.Stop) > 0)
            {
            }
        });
        Assert.Equal("location_changed", refusal.Reason);
    }

    [Fact]
    public async Task What_is_not_there_is_not_taken()
    {
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => ObjectBody.OpenAsync(new Objects(null), "x", _ => { }, RegistryApp.Stop));
        Assert.Equal("location_missing", refusal.Reason);
    }

    private sealed class Objects(byte[]? content) : IObjectSource
    {
        private int _reads;

        public int ChangesAfter { get; init; } = int.MaxValue;

        public bool Offers(string name) => true;

        public ValueTask<ObjectStat?> StatObjectAsync(string name, CancellationToken cancellationToken) =>
            ValueTask.FromResult<ObjectStat?>(
                content is null ? null : new(content.Length, _reads >= ChangesAfter ? "two" : "one"));

        public ValueTask<int> ReadObjectAsync(
            string name, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
        {
            _reads++;
            var length = (int)Math.Min(buffer.Length, content!.Length - offset);
            content.AsMemory((int)offset, length).CopyTo(buffer);
            return ValueTask.FromResult(length);
        }
    }
}
