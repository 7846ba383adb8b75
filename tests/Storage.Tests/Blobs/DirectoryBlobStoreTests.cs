using Microsoft.Extensions.Logging.Abstractions;
using Registry.Durability;
using Registry.Storage.Blobs;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class DirectoryBlobStoreTests : BlobStoreContract
{
    private readonly TempDirectory _directory = new();
    private readonly DirectoryBlobStore _store;

    public DirectoryBlobStoreTests() => _store = Open(new DirectoryDisk());

    protected override IBlobStore Store => _store;

    [Fact]
    public async Task Zero_blocks_take_no_room()
    {
        var data = new byte[8 << 20];
        data[3 << 20] = 1;
        var key = NewKey();
        await using (var writer = await Store.BeginAsync(key, data.Length, Cancellation))
        {
            for (var at = 0; at < data.Length; at += 100_000)
            {
                var chunk = data.AsMemory(at, Math.Min(100_000, data.Length - at));
                await writer.AppendAsync(BlobPart.Data, chunk, Cancellation);
            }

            await writer.CommitAsync(Cancellation);
        }

        Assert.Equal(data, await ReadAsync(key, BlobPart.Data, 0, data.Length));
        Assert.InRange(AllocatedBytes(Path.Combine(_directory.Path, key.ImageId, "1", "data")), 1, 64 * 1024);
    }

    [Fact]
    public async Task Files_are_for_the_owner_alone()
    {
        var key = await WriteAsync([1]);
        var blob = Path.Combine(_directory.Path, key.ImageId, "1");
        Assert.Equal("600", Shell.Run("stat", "-c", "%a", Path.Combine(blob, "data")));
        Assert.Equal("700", Shell.Run("stat", "-c", "%a", blob));
    }

    [Fact]
    public async Task A_link_is_not_followed()
    {
        var key = await WriteAsync([1]);
        var data = Path.Combine(_directory.Path, key.ImageId, "1", "data");
        File.Delete(data);
        File.CreateSymbolicLink(data, "/etc/hostname");
        await Assert.ThrowsAnyAsync<IOException>(() => ReadAsync(key, BlobPart.Data, 0, 10));
    }

    [Fact]
    public void A_directory_is_flushed_into_each_parent_that_got_a_new_entry()
    {
        using var directory = new TempDirectory();
        var top = Path.Combine(directory.Path, "made");
        List<string> flushed = [];
        DurableDirectory.Create(Path.Combine(top, "a", "b"), flushed.Add);
        Assert.True(Directory.Exists(Path.Combine(top, "a", "b")));
        Assert.Equal([directory.Path, top, Path.Combine(top, "a")], flushed);

        flushed.Clear();
        DurableDirectory.Create(Path.Combine(top, "a", "c"), flushed.Add);
        Assert.Equal([Path.Combine(top, "a")], flushed);
    }

    [Fact]
    public async Task Every_flush_that_fails_fails_the_upload_and_leaves_nothing()
    {
        var flushes = 0;
        var failAt = int.MaxValue;
        using var store = Open(new DirectoryDisk
        {
            FlushFile = file => Flush(() => DurableFile.Flush(file)),
            FlushDirectory = path => Flush(() => DurableFile.FlushDirectory(path)),
        });

        await UploadAsync();
        Assert.Equal(5, flushes); // data, index, upload, root, image
        for (failAt = 1; failAt <= 5; failAt++)
        {
            flushes = 0;
            await Assert.ThrowsAnyAsync<IOException>(UploadAsync);
            Assert.Equal(failAt, flushes); // never repeated
            Assert.Single(await ListAsync()); // the one that went well
            Assert.Empty(Leftovers());
        }

        void Flush(Action real)
        {
            if (++flushes == failAt)
            {
                throw new IOException("Input/output error", 5);
            }

            real();
        }

        async Task UploadAsync()
        {
            await using var writer = await store.BeginAsync(NewKey(), null, Cancellation);
            await writer.AppendAsync(BlobPart.Data, Bytes(1000), Cancellation);
            await writer.AppendAsync(BlobPart.Index, Bytes(10), Cancellation);
            await writer.CommitAsync(Cancellation);
        }
    }

    [Fact]
    public async Task A_flush_that_finds_the_disk_full_says_so()
    {
        using var store = Open(new DirectoryDisk { FlushFile = _ => throw new IOException("No space", 28) });
        await using var writer = await store.BeginAsync(NewKey(), null, Cancellation);
        await Assert.ThrowsAsync<StoreFullException>(async () => await writer.CommitAsync(Cancellation));
    }

    [Fact]
    public async Task A_full_disk_is_told_as_such_and_frees_what_was_written()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs to mount a small file system");
        using var mount = SmallFileSystem.TryMount(bytes: 4 << 20);
        Assert.SkipWhen(mount is null, "cannot mount here");
        using var store = new DirectoryBlobStore("small", mount.Path, NullLogger<DirectoryBlobStore>.Instance);
        await using (var writer = await store.BeginAsync(NewKey(), null, Cancellation))
        {
            await Assert.ThrowsAsync<StoreFullException>(async () =>
            {
                for (var i = 0; i < 100; i++)
                {
                    await writer.AppendAsync(BlobPart.Data, Bytes(100_000), Cancellation);
                }
            });
        }

        Assert.Empty(await store.ListAsync(Cancellation).ToListAsync(Cancellation));
        await using var next = await store.BeginAsync(NewKey(), null, Cancellation);
        await next.AppendAsync(BlobPart.Data, Bytes(1_000_000), Cancellation);
        await next.CommitAsync(Cancellation);
    }

    [Fact]
    public async Task Open_files_are_bounded()
    {
        var keys = new List<BlobKey>();
        for (var i = 0; i < 400; i++)
        {
            keys.Add(await WriteAsync([1]));
            await ReadAsync(keys[i], BlobPart.Data, 0, 1);
        }

        Assert.Equal(256, OpenFilesInStore());
        Assert.Equal([1], await ReadAsync(keys[0], BlobPart.Data, 0, 1));
    }

    protected override IReadOnlyList<string> Leftovers()
    {
        var known = _store.ListAsync(CancellationToken.None).ToBlockingEnumerable()
            .Where(e => e.IsCommitted).Select(e => Path.Combine(_directory.Path, e.Key.ImageId)).ToHashSet();
        return [.. Directory.GetFileSystemEntries(_directory.Path)
            .Where(path => !known.Contains(path) && Path.GetFileName(path) != ".uploads")
            .Concat(Directory.GetFileSystemEntries(Path.Combine(_directory.Path, ".uploads")))];
    }

    protected override void Close()
    {
        _store.Dispose();
        _directory.Dispose();
    }

    private DirectoryBlobStore Open(DirectoryDisk disk) =>
        new("s1", _directory.Path, NullLogger<DirectoryBlobStore>.Instance, disk);

    // Only this store's: other tests run meanwhile. A descriptor may close while it is looked at.
    private int OpenFilesInStore() =>
        Directory.GetFileSystemEntries("/proc/self/fd")
            .Count(descriptor =>
                new FileInfo(descriptor).LinkTarget?.StartsWith(_directory.Path, StringComparison.Ordinal) == true);

    private static long AllocatedBytes(string path) =>
        long.Parse(Shell.Run("stat", "-c", "%b", path), System.Globalization.CultureInfo.InvariantCulture) * 512;
}
