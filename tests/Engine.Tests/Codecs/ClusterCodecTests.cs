using System.IO.Compression;
using Registry.Engine.Codecs;
using Registry.Engine.Disks;
using ZstdSharp;

namespace Registry.Engine.Tests.Codecs;

/// <summary>What QEMU accepts as a compressed cluster, and what it does not.</summary>
public sealed class ClusterCodecTests
{
    private const int Size = 65536;
    private static readonly byte[] Cluster = Content();

    [Fact]
    public void Foreign_bytes_after_a_stream_are_ignored()
    {
        Assert.Equal(Cluster, Decode(ClusterCompression.Deflate, [.. Deflate(Cluster), .. Noise(700)]));
        Assert.Equal(Cluster, Decode(ClusterCompression.Zstd, [.. Zstd(Cluster), .. Noise(700)]));
    }

    [Fact]
    public void Deflate_may_use_the_full_window_and_give_more_than_a_cluster() =>
        Assert.Equal(Cluster, Decode(ClusterCompression.Deflate, Deflate([.. Cluster, .. Noise(100)])));

    [Fact]
    public void Zstd_may_be_several_frames_and_skippable_ones()
    {
        byte[] skippable = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        Assert.Equal(Cluster, Decode(
            ClusterCompression.Zstd, [.. skippable, .. Zstd(Cluster[..1000]), .. Zstd(Cluster[1000..])]));
    }

    [Fact]
    public void Less_than_a_cluster_is_an_error()
    {
        AssertBad(ClusterCompression.Deflate, Deflate(Cluster[..^1]));
        AssertBad(ClusterCompression.Zstd, Zstd(Cluster[..^1]));
        AssertBad(ClusterCompression.Deflate, []);
        AssertBad(ClusterCompression.Zstd, []);
    }

    [Fact]
    public void A_cut_stream_is_an_error()
    {
        AssertBad(ClusterCompression.Deflate, Deflate(Cluster)[..^5]);
        AssertBad(ClusterCompression.Zstd, Zstd(Cluster)[..^1]);
    }

    [Fact]
    public void A_zstd_frame_of_more_than_a_cluster_is_an_error() =>
        AssertBad(ClusterCompression.Zstd, Zstd([.. Cluster, 1]));

    [Fact]
    public void Any_flipped_byte_gives_a_cluster_or_an_error()
    {
        foreach (var (compression, stream) in new[]
        {
            (ClusterCompression.Deflate, Deflate(Cluster)), (ClusterCompression.Zstd, Zstd(Cluster)),
        })
        {
            for (var i = 0; i < stream.Length; i += 37)
            {
                var spoilt = stream.ToArray();
                spoilt[i] ^= 0x55;
                try
                {
                    Assert.Equal(Size, Decode(compression, spoilt).Length);
                }
                catch (ImageFormatException e)
                {
                    Assert.Equal(FormatError.BadCompressedData, e.Error);
                }
            }
        }
    }

    [Theory]
    [InlineData(ClusterCompression.Deflate)]
    [InlineData(ClusterCompression.Zstd)]
    public void Clusters_make_no_garbage(ClusterCompression compression)
    {
        var stored = new byte[Size];
        var target = new byte[Size];
        var length = ClusterCodec.Encode(compression, Cluster, stored);
        ClusterCodec.Decode(compression, stored.AsSpan(0, length), target, target.Length);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            ClusterCodec.Encode(compression, Cluster, stored);
            ClusterCodec.Decode(compression, stored.AsSpan(0, length), target, target.Length);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData(ClusterCompression.Deflate)]
    [InlineData(ClusterCompression.Zstd)]
    public void What_is_encoded_is_decoded_and_what_does_not_fit_is_said(ClusterCompression compression)
    {
        var random = new Random(5);
        for (var i = 0; i < 200; i++)
        {
            var cluster = new byte[512 << random.Next(0, 10)];
            random.NextBytes(cluster.AsSpan(random.Next(cluster.Length)));
            var stored = new byte[cluster.Length + 1000];
            var length = ClusterCodec.Encode(compression, cluster, stored);
            var decoded = new byte[cluster.Length];
            ClusterCodec.Decode(compression, stored.AsSpan(0, length), decoded, decoded.Length);
            Assert.Equal(cluster, decoded);
            Assert.Equal(0, ClusterCodec.Encode(compression, cluster, stored.AsSpan(0, length - 1)));
        }
    }

    [Fact]
    public void Both_inflaters_agree_about_what_one_of_them_takes()
    {
        var random = new Random(8);
        for (var i = 0; i < 3000; i++)
        {
            var stream = Deflate(Cluster.AsSpan(0, 4096 + random.Next(3000)).ToArray());
            for (var flips = random.Next(3); flips > 0; flips--)
            {
                stream[random.Next(stream.Length)] ^= (byte)(1 << random.Next(8));
            }

            var (fast, plain) = (new byte[4096], new byte[4096]);
            if (LibDeflate.TryInflate(stream, fast))
            {
                Assert.True(ZlibDeflate.TryInflate(stream, plain));
                Assert.Equal(plain, fast);
            }
        }
    }

    [Fact]
    public void Deflate_looks_back_no_further_than_QEMU_does()
    {
        // 30,000 bytes of noise that come again compress only with a window of more than QEMU's 4 KiB.
        Assert.Equal(0, ClusterCodec.Encode(ClusterCompression.Deflate, Cluster, new byte[60_000]));
    }

    private static void AssertBad(ClusterCompression compression, byte[] stored) => Assert.Equal(
        FormatError.BadCompressedData,
        Assert.Throws<ImageFormatException>(() => Decode(compression, stored)).Error);

    private static byte[] Decode(ClusterCompression compression, byte[] stored)
    {
        var target = new byte[Size];
        ClusterCodec.Decode(compression, stored, target, target.Length);
        return target;
    }

    private static byte[] Deflate(byte[] content)
    {
        using var target = new MemoryStream();
        using (var deflate = new DeflateStream(target, CompressionLevel.Optimal))
        {
            deflate.Write(content);
        }

        return target.ToArray();
    }

    private static byte[] Zstd(byte[] content)
    {
        using var compressor = new Compressor(3);
        return compressor.Wrap(content).ToArray();
    }

    private static byte[] Noise(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Noise that comes back 30,000 bytes later: only a large window finds it.</summary>
    private static byte[] Content()
    {
        var bytes = new byte[Size];
        new Random(3).NextBytes(bytes.AsSpan(0, 30_000));
        bytes.AsSpan(0, 30_000).CopyTo(bytes.AsSpan(30_000));
        return bytes;
    }
}
