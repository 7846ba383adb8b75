using Registry.Engine.Bytes;
using Registry.Engine.Qcow2.Checking;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2.Checking;

public sealed class InterruptedRepairTests
{
    [Theory]
    [InlineData("snapshots", "data counted often")]
    [InlineData("snapshots", "data used twice")]
    [InlineData("plain", "all counts zero")]
    [InlineData("c4k", "refcount block unaligned")]
    [InlineData("c4k", "refcount block missing")]
    [InlineData("plain", "L1 reserved high bit")]
    [InlineData("v2", "compressed copied flag set")]
    public async Task A_repair_cut_at_any_write_is_finished_by_the_next_and_loses_nothing(string name, string damage)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("image.qcow2");
        CheckBases.Make(name, path);
        var healthy = await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken);
        var damaged = new QcowPoke((byte[])healthy.Clone());
        Assert.True(Damage.All.Single(each => each.Name == damage).Spoil(damaged));
        await File.WriteAllBytesAsync(path, damaged.Bytes, TestContext.Current.CancellationToken);
        var before = directory.File("before.qcow2");
        QemuImg.Run("convert", "-f", "qcow2", "-O", "qcow2", path, before);
        for (var allowed = 0; ; allowed++)
        {
            var file = new BreakingFile((byte[])damaged.Bytes.Clone()) { WritesAllowed = allowed };
            var isWhole = true;
            try
            {
                await QcowRepair.RepairAsync(file, QcowRepairMode.All, TestContext.Current.CancellationToken);
            }
            catch (IOException)
            {
                isWhole = false;
            }

            file.WritesAllowed = int.MaxValue;
            var report = await QcowRepair.RepairAsync(file, QcowRepairMode.All, TestContext.Current.CancellationToken);
            Assert.True(report.IsClean, $"after {allowed} writes: {report}");
            await File.WriteAllBytesAsync(path, file.Bytes.Bytes, TestContext.Current.CancellationToken);
            QemuImg.Check(path);
            QemuImg.Compare(before, "qcow2", path, "qcow2");
            if (isWhole)
            {
                Assert.True(allowed > 0, "nothing was written");
                return;
            }
        }
    }

    /// <summary>A file that takes so many writes and then no more.</summary>
    private sealed class BreakingFile(byte[] bytes) : IByteFile
    {
        public MemoryBytes Bytes { get; } = new(bytes);

        public int WritesAllowed { get; set; }

        public long Length => Bytes.Length;

        public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
            Bytes.ReadAsync(offset, buffer, cancellationToken);

        public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
            Bytes.RunAsync(offset, cancellationToken);

        public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken) =>
            WritesAllowed-- > 0
                ? Bytes.WriteAsync(offset, data, cancellationToken)
                : throw new IOException("The disk is gone.");

        public ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public ValueTask SetLengthAsync(long length, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public ValueTask FlushAsync(CancellationToken cancellationToken) => Bytes.FlushAsync(cancellationToken);

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
