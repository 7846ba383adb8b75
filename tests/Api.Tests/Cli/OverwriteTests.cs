using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A file that exists is replaced only by <c>--overwrite</c>, keeps what is not content, and stays as it was where
/// the verb fails.</summary>
public sealed class OverwriteTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const string Old = "what was there";

    private readonly TempDirectory _directory = new();
    private readonly TargetVerbs _verbs = new(app);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Target => _directory.File("target");

    public static TheoryData<string> Verbs => TargetVerbs.All;

    public void Dispose()
    {
        _directory.Dispose();
        _verbs.Dispose();
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task An_existing_file_is_refused_and_stays_as_it_was(string verb)
    {
        await File.WriteAllTextAsync(Target, Old, Stop);
        var before = FileStatus.Of(Target);
        var refused = await _verbs.RunAsync(verb, Target);

        Assert.Equal(1, refused.ExitCode);
        Assert.Equal($"registry: '{Target}' exists; use --overwrite to replace it\n", refused.Error);
        Assert.Equal(before, FileStatus.Of(Target));
        Assert.Equal(Old, await File.ReadAllTextAsync(Target, Stop));
        Assert.Equal([Target], Directory.GetFiles(_directory.Path));
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task An_overwritten_file_keeps_owner_mode_access_list_and_attributes(string verb)
    {
        await File.WriteAllTextAsync(Target, Old, Stop);
        await ExtendedAttributes.SetAsync(Target, "user.note", "6b657074", Stop);
        await ExtendedAttributes.SetAsync(
            Target, ExtendedAttributes.AccessList, ExtendedAttributes.ListWithUser, Stop);
        var isRoot = FileStatus.Of(Target)!.Value.Owner == 0;
        if (isRoot)
        {
            await RunAsync("chown", "12346:12347", Target);
        }

        var (before, attributes) = (FileStatus.Of(Target)!.Value, await ExtendedAttributes.ReadAsync(Target, Stop));
        Assert.Contains(ExtendedAttributes.ListWithUser, attributes, StringComparison.Ordinal);
        var link = _directory.File("link");
        File.CreateSymbolicLink(link, Target);
        var done = await _verbs.RunAsync(verb, link, "--overwrite");

        Assert.True(done.ExitCode == 0, done.Error);
        Assert.Equal(Target, new FileInfo(link).LinkTarget);
        await _verbs.RequireWrittenAsync(verb, Target);
        var after = FileStatus.Of(Target)!.Value;
        Assert.Equal((before.Owner, before.Group, before.Mode), (after.Owner, after.Group, after.Mode));
        Assert.Equal(attributes, await ExtendedAttributes.ReadAsync(Target, Stop));
        Assert.Equal(2, Directory.GetFiles(_directory.Path).Length);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task An_overwritten_file_gets_no_access_list_that_it_had_not(string verb)
    {
        await File.WriteAllTextAsync(Target, Old, Stop);
        FileModes.Set(Target, OwnerOnly);
        await ExtendedAttributes.SetAsync(
            _directory.Path, ExtendedAttributes.DefaultList, ExtendedAttributes.ListWithUser, Stop);
        var done = await _verbs.RunAsync(verb, Target, "--overwrite");

        Assert.True(done.ExitCode == 0, done.Error);
        Assert.Equal(OwnerOnly, FileStatus.Of(Target)!.Value.Mode);
        Assert.Equal("", await ExtendedAttributes.ReadAsync(Target, Stop));
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task A_new_file_is_for_its_owner_only_unless_a_mode_is_given(string verb)
    {
        foreach (var (option, expected) in new[]
        {
            ("", OwnerOnly),
            ("0640", OwnerOnly | UnixFileMode.GroupRead),
            ("644", OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead),
            ("umask", Umask()),
        })
        {
            File.Delete(Target);
            var done = await _verbs.RunAsync(verb, Target, option.Length == 0 ? [] : ["--mode", option]);
            Assert.True(done.ExitCode == 0, done.Error);
            Assert.Equal(expected, FileStatus.Of(Target)!.Value.Mode);
        }
    }

    [Theory]
    [InlineData("0777")]
    [InlineData("0044")]
    [InlineData("4600")]
    [InlineData("0888")]
    [InlineData("rw")]
    [InlineData("06000000000000000")]
    [InlineData("")]
    public async Task A_mode_that_is_not_valid_is_refused_before_anything_is_made(string mode)
    {
        var refused = await _verbs.RunAsync("create", Target, "--mode", mode);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"invalid mode '{mode}'", refused.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_directory.Path));
    }

    [Theory]
    [InlineData("provision damaged --to {0}")]
    [InlineData("provision damaged --to {0} --format qcow2")]
    [InlineData("pull damaged --to {0}")]
    [InlineData("disk convert -O raw {1} {0}")]
    [InlineData("disk convert -O qcow2 {1} {0}")]
    [InlineData("disk convert -O qcow2 -B {2} -F raw {1} {0}")]
    [InlineData("disk dd if={1} of={0}")]
    [InlineData("disk create -f raw -o preallocation=falloc {0} 15T")]
    [InlineData("disk create -f qcow2 -o preallocation=falloc {0} 15T")]
    public async Task A_verb_that_fails_leaves_the_old_file(string line)
    {
        await File.WriteAllTextAsync(Target, Old, Stop);
        var before = FileStatus.Of(Target);
        var (cut, source) = (_directory.File("cut.qcow2"), _directory.File("source.raw"));
        await File.WriteAllBytesAsync(source, _verbs.Content, Stop);
        await MakeCutAsync(cut);
        var words = string.Format(null, line, Target, cut, source).Split(' ');
        if (words.Contains("damaged"))
        {
            var id = await app.UploadAsync(_verbs.Content);
            await app.FlipByteAsync(id, 300_000);
            words = [.. words.Select(word => word == "damaged" ? id : word), "--url", $"{app.Url}"];
        }

        var failed = await RegistryCommandLine.RunAsync([.. words, "--overwrite"]);
        Assert.Equal(1, failed.ExitCode);
        Assert.Equal(Old, await File.ReadAllTextAsync(Target, Stop));
        Assert.Equal(before, FileStatus.Of(Target));
        Assert.DoesNotContain(Directory.GetFiles(_directory.Path), path => path.EndsWith(".part", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public async Task A_file_that_another_program_has_locked_is_not_overwritten(string verb)
    {
        await using (var held = new FileStream(Target, FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            held.Write("of another program"u8);
            held.Flush();
            var refused = await _verbs.RunAsync(verb, Target, "--overwrite");
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains($"'{Target}' is in use", refused.Error, StringComparison.Ordinal);
        }

        Assert.Equal("of another program", await File.ReadAllTextAsync(Target, Stop));
    }

    [Theory]
    [InlineData("disk convert -f raw -O raw {0} {1}")]
    [InlineData("disk dd -f raw if={0} of={1}")]
    public async Task A_file_is_not_converted_onto_itself_by_whatever_name(string line)
    {
        await File.WriteAllBytesAsync(Target, _verbs.Content, Stop);
        var (link, hard) = (_directory.File("link"), _directory.File("hard"));
        File.CreateSymbolicLink(link, Target);
        await RunAsync("ln", Target, hard);
        foreach (var name in new[] { Target, link, hard, Path.Combine(_directory.Path, ".", "target") })
        {
            var refused = await RegistryCommandLine.RunAsync(
                [.. string.Format(null, line, Target, name).Split(' '), "--overwrite"]);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains("onto itself", refused.Error, StringComparison.Ordinal);
        }

        Assert.Equal(_verbs.Content, await File.ReadAllBytesAsync(Target, Stop));
    }

    [Theory]
    [InlineData("disk convert -O raw {0} {1}")]
    [InlineData("disk dd if={0} of={1}")]
    public async Task A_backing_file_is_not_overwritten_by_the_disk_that_is_read_from_it(string line)
    {
        var (backing, overlay) = (_directory.File("base.raw"), _directory.File("overlay.qcow2"));
        await File.WriteAllBytesAsync(backing, _verbs.Content, Stop);
        await RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", overlay);
        await RunAsync("qemu-io", "-c", "write -P 7 1M 64k", overlay);
        var refused = await RegistryCommandLine.RunAsync(
            [.. string.Format(null, line, overlay, backing).Split(' '), "--overwrite"]);

        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"'{backing}' is in use", refused.Error, StringComparison.Ordinal);
        Assert.Equal(_verbs.Content, await File.ReadAllBytesAsync(backing, Stop));
    }

    private static UnixFileMode Umask()
    {
        var line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("Umask:", StringComparison.Ordinal));
        return (UnixFileMode)(0x1B6 & ~Convert.ToInt32(line["Umask:".Length..].Trim(), 8)); // of 0666
    }

    private static Task<string> RunAsync(string tool, params string[] arguments) =>
        ExternalTool.Require(tool).OutputAsync(Stop, arguments);

    // The second half of the compressed clusters holds zeroes, which cannot be unpacked.
    private async Task MakeCutAsync(string path)
    {
        var packable = _directory.File("packable");
        var content = new byte[2 << 20];
        new Random(7).NextBytes(content);
        await File.WriteAllBytesAsync(packable, [.. content.Select(one => (byte)(one & 0x0F))], Stop);
        await RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", packable, path);
        await using var file = FileBytes.OpenWrite(path);
        await file.WriteAsync(file.Length / 2, new byte[file.Length / 2], Stop);
    }
}
