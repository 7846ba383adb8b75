using System.Text;
using Registry.Engine.Crypto;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Crypto;

public sealed class LuksHeaderTests
{
    private const string Passphrase = "open sesame";

    public static TheoryData<int, string, string> Shapes => new()
    {
        { 64, "xts-plain64", "sha256" },
        { 32, "xts-plain64", "sha1" },
        { 32, "cbc-plain64", "sha512" },
        { 16, "cbc-essiv:sha256", "sha256" },
        { 32, "ecb-plain64", "sha256" },
        { 32, "ctr-plain64", "sha384" },
    };

    /// <summary>qemu opens what we create, as a plain LUKS volume: sectors are counted from its payload.</summary>
    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Qemu_reads_what_we_create(int keyBytes, string mode, string hash)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var made = LuksHeader.Create(Encoding.UTF8.GetBytes(Passphrase), Options(keyBytes, mode, hash));
        using var cipher = made.Cipher;
        var plain = new byte[300 * SectorCipher.SectorBytes];
        new Random(keyBytes).NextBytes(plain);
        var payload = plain.ToArray();
        cipher.Encrypt(0, payload);
        await File.WriteAllBytesAsync(directory.File("volume"), [.. made.Bytes, .. payload], Disk.Stop);

        QemuImg.Run(
            "convert", "-O", "raw", "--object", $"secret,id=s,data={Passphrase}", "--image-opts",
            $"driver=luks,key-secret=s,file.driver=file,file.filename={directory.File("volume")}",
            directory.File("plain"));
        Assert.Equal(plain, await File.ReadAllBytesAsync(directory.File("plain"), Disk.Stop));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    [InlineData(24, "cbc-plain64", "sha256")]
    public async Task A_header_is_opened_by_its_passphrase_and_by_no_other(int keyBytes, string mode, string hash)
    {
        var made = LuksHeader.Create(Encoding.UTF8.GetBytes(Passphrase), Options(keyBytes, mode, hash));
        using var cipher = made.Cipher;
        var file = new MemoryBytes(made.Bytes);
        var header = LuksHeader.Parse(made.Bytes);
        using var opened = await header.UnlockAsync(
            file, 0, file.Length, Encoding.UTF8.GetBytes(Passphrase), Limits.Strict, Disk.Stop);
        var sectors = new byte[129 * SectorCipher.SectorBytes];
        new Random(1).NextBytes(sectors);
        var coded = sectors.ToArray();
        cipher.Encrypt(12345678901, coded);
        Assert.NotEqual(sectors, coded);
        opened.Decrypt(12345678901, coded);
        Assert.Equal(sectors, coded);

        Assert.Equal(FormatError.WrongPassphrase, await Disk.Refusal(async () => await header.UnlockAsync(
            file, 0, file.Length, "open sesamE"u8.ToArray(), Limits.Strict, Disk.Stop)));
    }

    [Fact]
    public async Task Sectors_are_coded_alike_in_runs_of_any_length()
    {
        foreach (var (mode, key) in new[] { (SectorMode.Xts, 64), (SectorMode.Cbc, 32), (SectorMode.Ctr, 16) })
        {
            using var cipher = new SectorCipher(new byte[key], mode, SectorVector.Plain64, default);
            var whole = new byte[700 * SectorCipher.SectorBytes];
            var single = whole.ToArray();
            cipher.Encrypt(77, whole);
            for (var i = 0; i < 700; i++)
            {
                cipher.Encrypt(77 + i, single.AsSpan(i * SectorCipher.SectorBytes, SectorCipher.SectorBytes));
            }

            Assert.Equal(whole, single);
        }

        await Task.CompletedTask;
    }

    [Fact]
    public async Task Iterations_are_bounded_before_any_of_them()
    {
        var made = LuksHeader.Create("x"u8, Options(64, "xts-plain64", "sha256"));
        made.Cipher.Dispose();
        made.Bytes.AsSpan(208 + 4, 4).Fill(0x7F); // two thousand million iterations in the first key slot
        var header = LuksHeader.Parse(made.Bytes);
        Assert.Equal(FormatError.BudgetExceeded, await Disk.Refusal(async () => await header.UnlockAsync(
            new MemoryBytes(made.Bytes), 0, made.Bytes.Length, "x"u8.ToArray(), Limits.Local, Disk.Stop)));
    }

    [Theory]
    [InlineData(6, 2, FormatError.UnsupportedVersion)]
    [InlineData(0, 0, FormatError.InvalidHeader)]
    [InlineData(108, 1, FormatError.InvalidHeader)]
    [InlineData(8, (byte)'s', FormatError.UnsupportedFeature)]
    [InlineData(40, (byte)'q', FormatError.UnsupportedFeature)]
    [InlineData(72, (byte)'w', FormatError.UnsupportedFeature)]
    [InlineData(208 + 40, 0xFF, FormatError.InvalidHeader)]
    [InlineData(208 + 44, 0xFF, FormatError.InvalidHeader)]
    public async Task A_field_out_of_range_is_refused(int offset, byte value, FormatError expected)
    {
        var made = LuksHeader.Create("x"u8, Options(64, "xts-plain64", "sha256"));
        made.Cipher.Dispose();
        made.Bytes[offset] = value;
        Assert.Equal(expected, await Disk.Refusal(async () =>
        {
            using var cipher = await LuksHeader.Parse(made.Bytes).UnlockAsync(
                new MemoryBytes(made.Bytes), 0, made.Bytes.Length, "x"u8.ToArray(), Limits.Local, Disk.Stop);
        }));
    }

    private static LuksOptions Options(int keyBytes, string mode, string hash) =>
        new() { KeyBytes = keyBytes, CipherMode = mode, HashName = hash, Iterations = 1000 };
}
