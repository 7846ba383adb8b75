using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Tests.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>Files that another program keeps: opened only where they are allowed to be, and made blobs in
/// place.</summary>
public sealed class AdoptedFileTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly string _foreign;
    private readonly DirectoryBlobStore _store;
    private readonly BlobKey _key = new(Images.NewId(), 1);

    public AdoptedFileTests()
    {
        _foreign = Directory.CreateDirectory(_directory.File("foreign")).FullName;
        _store = new DirectoryBlobStore("s1", _directory.File("store"), NullLogger<DirectoryBlobStore>.Instance);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private string Adopted => Path.Combine(_directory.File("store"), _key.ImageId, "1", "data");

    [Fact]
    public async Task A_file_becomes_a_blob_without_a_byte_being_moved()
    {
        byte[] bytes = [1, 2, 3];
        await File.WriteAllBytesAsync(Path.Combine(_foreign, "a"), bytes, Cancellation);
        using (var file = new ForeignDirectory(_foreign).Open("a"))
        {
            await using var writer = await _store.AdoptAsync(_key, file, Cancellation);
            await writer.AppendAsync(BlobPart.Data, bytes, Cancellation);
            var read = new byte[10];
            Assert.Equal(2, await writer.ReadAsync(BlobPart.Data, 1, read, Cancellation));
            Assert.Equal([2, 3], read[..2]);
            await writer.AppendAsync(BlobPart.Index, new byte[7], Cancellation);
            await writer.CommitAsync(Cancellation);
        }

        Assert.Equal(new BlobStat(3, 7), await _store.StatAsync(_key, Cancellation));
        Assert.Equal(
            Shell.Run("stat", "-c", "%i", Path.Combine(_foreign, "a")), Shell.Run("stat", "-c", "%i", Adopted));
        File.Delete(Path.Combine(_foreign, "a"));
        Assert.Equal(bytes, await File.ReadAllBytesAsync(Adopted, Cancellation));
    }

    [Fact]
    public async Task An_adoption_that_is_given_up_leaves_the_file_and_nothing_else()
    {
        await File.WriteAllBytesAsync(Path.Combine(_foreign, "a"), [1], Cancellation);
        using var file = new ForeignDirectory(_foreign).Open("a");
        await using (await _store.AdoptAsync(_key, file, Cancellation))
        {
            Assert.Single(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
        }

        Assert.Empty(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
        Assert.True(File.Exists(Path.Combine(_foreign, "a")));
    }

    [Fact]
    public async Task A_file_that_grows_while_it_is_read_is_no_blob()
    {
        await File.WriteAllBytesAsync(Path.Combine(_foreign, "a"), [1], Cancellation);
        using var file = new ForeignDirectory(_foreign).Open("a");
        await using var writer = await _store.AdoptAsync(_key, file, Cancellation);
        await writer.AppendAsync(BlobPart.Data, new byte[] { 1 }, Cancellation);
        await File.AppendAllTextAsync(Path.Combine(_foreign, "a"), "more", Cancellation);
        await Assert.ThrowsAsync<IOException>(async () => await writer.CommitAsync(Cancellation));
        Assert.Null(await _store.StatAsync(_key, Cancellation));
    }

    [Fact]
    public async Task A_file_of_another_file_system_cannot_be_linked()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs to mount a small file system");
        using var mount = SmallFileSystem.TryMount(bytes: 1 << 20);
        Assert.SkipWhen(mount is null, "cannot mount here");
        await File.WriteAllBytesAsync(Path.Combine(mount.Path, "a"), [1], Cancellation);
        using var file = new ForeignDirectory(mount.Path).Open("a");
        var failure = await Assert.ThrowsAsync<IOException>(async () => await _store.AdoptAsync(_key, file, Cancellation));
        Assert.Contains("cannot be linked", failure.Message, StringComparison.Ordinal);
        Assert.Empty(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    [Theory]
    [InlineData("../secret")]
    [InlineData("sub/../../secret")]
    [InlineData("./file")]
    [InlineData("sub//file")]
    [InlineData("/etc/passwd")]
    [InlineData("")]
    [InlineData("link")]
    [InlineData("linked/secret")]
    [InlineData("file/x")]
    public void Nothing_outside_of_the_directory_is_opened(string path)
    {
        Prepare();
        Assert.Throws<UnauthorizedAccessException>(() => new ForeignDirectory(_foreign).Open(path).Dispose());
    }

    [Fact]
    public void What_is_no_file_is_refused_at_once()
    {
        Prepare();
        Shell.Run("mkfifo", Path.Combine(_foreign, "pipe"));
        var directory = new ForeignDirectory(_foreign);
        Assert.ThrowsAny<IOException>(() => directory.Open("pipe").Dispose());
        Assert.ThrowsAny<IOException>(() => directory.Open("sub").Dispose());
        Assert.Throws<FileNotFoundException>(() => directory.Open("missing").Dispose());
        using var deep = directory.Open("sub/file");
        Assert.Equal(2, RandomAccess.GetLength(deep));
    }

    public void Dispose()
    {
        _store.Dispose();
        _directory.Dispose();
    }

    private void Prepare()
    {
        File.WriteAllText(_directory.File("secret"), "s");
        File.WriteAllText(Path.Combine(_foreign, "file"), "f");
        Directory.CreateDirectory(Path.Combine(_foreign, "sub"));
        File.WriteAllText(Path.Combine(_foreign, "sub", "file"), "ff");
        File.CreateSymbolicLink(Path.Combine(_foreign, "link"), _directory.File("secret"));
        File.CreateSymbolicLink(Path.Combine(_foreign, "linked"), _directory.Path);
    }
}
