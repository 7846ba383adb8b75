using Registry.Engine.Bytes;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Bytes;

public sealed class HostDirectoryTests : IDisposable
{
    private const int IsTaken = 17;

    private readonly TempDirectory _files = new();
    private readonly HostDirectory _directory;

    public HostDirectoryTests() => _directory = HostDirectory.Open(_files.Path);

    public void Dispose()
    {
        _directory.Dispose();
        _files.Dispose();
    }

    [Fact]
    public async Task A_new_file_is_private_and_never_an_existing_one()
    {
        await using (var file = _directory.CreateNew("new"))
        {
            Assert.True(file.Status().IsOwnFile);
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, file.Status().Mode);
        }

        File.CreateSymbolicLink(_files.File("link"), _files.File("nothing"));
        Assert.Equal(IsTaken, Assert.Throws<IOException>(() => _directory.CreateNew("new")).HResult);
        Assert.Equal(IsTaken, Assert.Throws<IOException>(() => _directory.CreateNew("link")).HResult);
        Assert.False(File.Exists(_files.File("nothing")));
    }

    [Fact]
    public async Task A_file_is_renamed_over_another_only_when_asked()
    {
        await File.WriteAllTextAsync(_files.File("a"), "a", Disk.Stop);
        await File.WriteAllTextAsync(_files.File("b"), "b", Disk.Stop);
        File.CreateSymbolicLink(_files.File("link"), _files.File("b"));
        Assert.Equal(IsTaken, Assert.Throws<IOException>(() => _directory.Rename("a", "b", false)).HResult);
        Assert.Equal(IsTaken, Assert.Throws<IOException>(() => _directory.Rename("a", "link", false)).HResult);
        Assert.Equal("b", await File.ReadAllTextAsync(_files.File("b"), Disk.Stop));
        _directory.Rename("a", "b", replaces: true);
        Assert.Equal("a", await File.ReadAllTextAsync(_files.File("b"), Disk.Stop));
        _directory.Rename("b", "c", replaces: false);
        Assert.Equal("a", await File.ReadAllTextAsync(_files.File("c"), Disk.Stop));
    }

    [Fact]
    public async Task An_entry_that_is_not_this_user_s_file_is_not_opened()
    {
        await File.WriteAllTextAsync(_files.File("file"), "a", Disk.Stop);
        Directory.CreateDirectory(_files.File("directory"));
        File.CreateSymbolicLink(_files.File("link"), _files.File("file"));
        foreach (var name in new[] { "directory", "link" })
        {
            Assert.Throws<IOException>(() => _directory.OpenOwn(name));
            Assert.Throws<IOException>(() => _directory.ReadOwn(name));
            Assert.Throws<IOException>(() => _directory.OpenRegular(name));
            Assert.Throws<IOException>(() => _directory.OpenDevice(name));
        }

        Assert.Throws<IOException>(() => _directory.OpenDevice("file"));
        Assert.Null(_directory.OpenOwn("absent"));
        FileModes.Set(_files.File("file"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherWrite);
        Assert.Throws<IOException>(() => _directory.OpenOwn("file"));
        await using var open = _directory.OpenRegular("file");
        Assert.NotNull(open);
    }

    [Fact]
    public async Task A_file_is_open_in_one_run_at_a_time()
    {
        await using (var first = _directory.CreateNew("file"))
        {
            Assert.Throws<IOException>(() => _directory.OpenOwn("file"));
            Assert.Throws<IOException>(() => _directory.OpenRegular("file"));
            Assert.ThrowsAny<IOException>(() => FileBytes.OpenWrite(_files.File("file")));
            await using var read = _directory.ReadOwn("file");
            Assert.NotNull(read);
        }

        await using var again = _directory.OpenOwn("file");
        Assert.NotNull(again);
    }

    [Fact]
    public async Task A_directory_that_was_renamed_is_still_the_same()
    {
        Directory.CreateDirectory(_files.File("was"));
        using var directory = HostDirectory.Open(_files.File("was"));
        Directory.Move(_files.File("was"), _files.File("is"));
        Directory.CreateDirectory(_files.File("was"));
        await directory.CreateNew("file").DisposeAsync();
        Assert.True(File.Exists(_files.File("is/file")));
        Assert.Equal(_files.File("is"), directory.RealPath);
        directory.Remove("file");
        directory.Remove("file");
        Assert.False(File.Exists(_files.File("is/file")));
    }

    [Fact]
    public async Task Space_at_the_end_is_had_whole_or_not_at_all()
    {
        await using var file = _directory.CreateNew("file");
        await file.WriteAsync(0, new byte[] { 1, 2, 3 }, Disk.Stop);
        Assert.True(file.ReserveAtEnd(1 << 20));
        Assert.Equal(3, file.Status().Length);
        Assert.InRange(file.AllocatedBytes(), 1 << 20, 2 << 20);
        file.ReleaseAtEnd();
        Assert.InRange(file.AllocatedBytes(), 0, 64 << 10);
        Assert.ThrowsAny<IOException>(() => file.ReserveAtEnd(1L << 60));
        Assert.InRange(file.AllocatedBytes(), 0, 64 << 10);
    }
}
