using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.IO.Hashing;
using System.Text.RegularExpressions;
using Registry.Api.Import;
using Registry.Support;

namespace Registry.Api.Tests.Import;

/// <summary>Compressed bytes that cost far more than they weigh are refused early, however small they are.</summary>
public sealed partial class UnpackingBudgetTests()
    : ImportLab(("Registry:Import:Decompress", "true"), ("Registry:Limits:ImageSizeCapBytes", $"{1L << 40}"))
{
    // The largest piece that is unpacked before the budget is looked at.
    private const int PieceBytesMax = 16 << 20;

    [Theory]
    [InlineData("bzip2", 180)]
    [InlineData("zstd", 180)]
    [InlineData("xz", 180)]
    public async Task A_few_bytes_that_come_to_many_are_refused_early(string compression, int mebibytes)
    {
        var packed = await PackAsync(compression, mebibytes);
        Assert.InRange(packed.Length, 1, 50_000);
        var refusal = RefusalPattern().Match(await ImportAsync(packed));
        Assert.True(refusal.Success);
        var unpacked = long.Parse(refusal.Groups["unpacked"].Value, CultureInfo.InvariantCulture);
        Assert.InRange(
            unpacked, UnpackedBody.FreeBytes, UnpackedBody.FreeBytes + (1000L * packed.Length) + PieceBytesMax);
    }

    [Theory]
    [InlineData("bzip2")]
    [InlineData("zstd")]
    [InlineData("xz")]
    [InlineData("gzip")]
    public async Task A_small_disk_of_zeroes_is_taken(string compression)
    {
        Assert.Equal("", await ImportAsync(await PackAsync(compression, 15)));
    }

    [Fact]
    public async Task An_xz_of_several_blocks_is_taken()
    {
        Assert.Equal("", await ImportAsync(await XzAsync()));
    }

    [Theory]
    [InlineData(0, 4, 0)]
    [InlineData(0, -4, 0)]
    [InlineData(1, 1, 0)]
    [InlineData(0, 0, 1)]
    [InlineData(2, 0, -1)]
    public async Task An_xz_whose_index_disagrees_with_its_blocks_is_refused(int block, int unpadded, int unpacked)
    {
        var packed = Reindexed(await XzAsync(), index =>
        {
            index[block] = (index[block].Unpadded + unpadded, index[block].Unpacked + unpacked);
            if (unpadded is 4 or -4)
            {
                index[block + 1] = (index[block + 1].Unpadded - unpadded, index[block + 1].Unpacked); // the sum stays
            }
        });
        Assert.StartsWith("The compressed data is damaged", await ImportAsync(packed), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_xz_that_hides_a_block_in_another_one_is_refused()
    {
        var packed = Reindexed(await XzAsync(), index =>
        {
            var second = index[1];
            index.RemoveAt(1);
            index[0] = (((index[0].Unpadded + 3) & ~3L) + second.Unpadded, index[0].Unpacked + second.Unpacked);
        });
        Assert.Contains("its index disagrees with its blocks", await ImportAsync(packed), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_way_in_which_xz_writes_agrees_with_its_index()
    {
        foreach (var options in (string[][])[
            ["-0"], ["-9", "-e"], ["-T2", "--block-size=300KiB"], ["--check=none"], ["--check=crc32"], ["--check=sha256"],
            ["--arm", "--lzma2=dict=64KiB"],
        ])
        {
            await XzLayout.CheckAsync(new MemoryStream(await XzAsync(options)), RegistryApp.Stop);
        }
    }

    // The message of the failure; empty where it was taken.
    private async Task<string> ImportAsync(byte[] packed)
    {
        var id = await App.CreateAsync();
        (await StageAsync(id, packed)).Dispose();
        await ImportAsync(id, """{"method":{"name":"glance-direct"}}""");
        var task = await EndAsync(id);
        return task.GetProperty("status").GetString() == "success" ? "" : task.GetProperty("message").GetString()!;
    }

    private static Task<byte[]> XzAsync(params string[] options)
    {
        var content = Bytes(3_000_000);
        content.AsSpan(0, 1_000_000).Fill(7);
        return PackAsync("xz", options.Length > 0 ? options : ["--block-size=1MiB"], stream => stream.WriteAsync(content));
    }

    private static Task<byte[]> PackAsync(string compression, int mebibytes) => PackAsync(compression, [], async stream =>
    {
        var zeroes = new byte[1 << 20];
        for (var i = 0; i < mebibytes; i++)
        {
            await stream.WriteAsync(zeroes);
        }
    });

    private static async Task<byte[]> PackAsync(string compression, string[] options, Func<Stream, ValueTask> write)
    {
        ExternalTool.Require(compression);
        using var packed = new MemoryStream();
        using var process = Process.Start(new ProcessStartInfo(compression, ["-c", .. options])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        var reading = process.StandardOutput.BaseStream.CopyToAsync(packed, RegistryApp.Stop);
        await write(process.StandardInput.BaseStream);
        process.StandardInput.Close();
        await reading;
        await process.WaitForExitAsync(RegistryApp.Stop);
        Assert.Equal(0, process.ExitCode);
        return packed.ToArray();
    }

    // The same file with another index, whose own checksums are right.
    private static byte[] Reindexed(byte[] xz, Action<List<(long Unpadded, long Unpacked)>> change)
    {
        var indexBytes = (int)((BinaryPrimitives.ReadUInt32LittleEndian(xz.AsSpan(xz.Length - 8)) + 1) * 4);
        var start = xz.Length - 12 - indexBytes;
        var position = start + 1;
        var blocks = new List<(long Unpadded, long Unpacked)>();
        for (var count = XzLayout.ReadNumber(xz, ref position); count > 0; count--)
        {
            blocks.Add((XzLayout.ReadNumber(xz, ref position), XzLayout.ReadNumber(xz, ref position)));
        }

        change(blocks);
        var index = new List<byte> { 0 };
        AddNumber(index, blocks.Count);
        foreach (var (unpadded, unpacked) in blocks)
        {
            AddNumber(index, unpadded);
            AddNumber(index, unpacked);
        }

        index.AddRange(new byte[(4 - (index.Count % 4)) % 4]);
        index.AddRange(Crc32.Hash([.. index]));
        var footer = xz[^12..];
        BinaryPrimitives.WriteUInt32LittleEndian(footer.AsSpan(4), (uint)(index.Count / 4) - 1);
        Crc32.Hash(footer.AsSpan(4, 6)).CopyTo(footer, 0);
        return [.. xz[..start], .. index, .. footer];
    }

    private static void AddNumber(List<byte> bytes, long value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }

        bytes.Add((byte)value);
    }

    [GeneratedRegex("comes to more than 1000 times its size: its first [0-9]+ bytes to (?<unpacked>[0-9]+)", RegexOptions.ExplicitCapture)]
    private static partial Regex RefusalPattern();
}
