using System.CommandLine;
using System.Diagnostics;
using System.Globalization;

namespace Registry.Api.Cli;

/// <summary>registry disk bench.</summary>
internal sealed class DiskBenchCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "The image file" };
    private readonly Option<string?> _format = DiskFile.FormatOption("-f", "Its format [found out]");
    private readonly Option<string?> _count = new("-c") { Description = "Requests [75000]" };
    private readonly Option<string?> _depth = new("-d") { Description = "Requests under way at a time [64]" };
    private readonly Option<string?> _size = new("-s") { Description = "Bytes of a request [4k]" };
    private readonly Option<string?> _step = new("-S") { Description = "Bytes from one request to the next [as -s]" };
    private readonly Option<string?> _start = new("-o") { Description = "First byte [0]" };
    private readonly Option<bool> _write = new("-w") { Description = "Write instead of read" };
    private readonly Option<string?> _pattern = new("--pattern") { Description = "With -w: the byte written [0]" };
    private readonly Option<string?> _flush = new("--flush-interval")
    {
        Description = "With -w: flush after so many requests [never]",
    };
    private readonly Option<bool> _noDrain = new("--no-drain")
    {
        Description = "With --flush-interval: do not wait for what is under way before a flush",
    };
    private readonly Option<string?> _engine = new("-i") { Description = "Accepted: native, threads or io_uring" };
    private readonly Option<bool> _native = new("-n") { Description = "Accepted: native asynchronous input" };
    private readonly Option<string?> _cache = DiskFile.CacheOption("-t", "FILE");
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _share = DiskFile.ShareOption();
    private readonly Option<bool> _quiet = new("-q") { Description = "Accepted: the result is shown all the same" };

    private DiskBenchCommand() => _engine.AcceptOnlyFromAmong("native", "threads", "io_uring");

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskBenchCommand();
        var command = new Command("bench", """
            Read or write a disk in many small requests, one behind the other and from its start again where it ends, and
            tell how long that took. -w overwrites what the disk holds.
              registry disk bench -c 10000 -d 16 -s 64k disk.qcow2
              registry disk bench -w --pattern 65 --flush-interval 1000 scratch.qcow2
            """)
        {
            self._file, self._format, self._count, self._depth, self._size, self._step, self._start, self._write,
            self._pattern, self._flush, self._noDrain, self._engine, self._native, self._cache, self._passphrase,
            self._share, self._quiet,
        };
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var plan = Read(parsed);
        var path = parsed.GetValue(_file)!;
        if (plan.IsWrite)
        {
            await using var edit = await DiskEdit.OpenAsync(
                path, parsed.GetValue(_format), parsed.GetValue(_passphrase), cancellationToken);
            var content = new byte[plan.Size];
            content.AsSpan().Fill(plan.Pattern);
            await RunAsync(
                plan,
                edit.Disk.VirtualSize,
                async (offset, _, stop) => await edit.Disk.WriteAsync(offset, content, stop),
                async stop => await edit.Disk.FlushAsync(stop),
                cancellationToken);
            return 0;
        }

        await using var disk = await DiskFile.OpenAsync(
            path, parsed.GetValue(_format), parsed.GetValue(_passphrase), parsed.GetValue(_share), cancellationToken);
        await RunAsync(
            plan,
            disk.Image.VirtualSize,
            async (offset, buffer, stop) => await disk.Image.ReadAsync(offset, buffer, stop),
            _ => Task.CompletedTask,
            cancellationToken);
        return 0;
    }

    private static async Task RunAsync(
        DiskBenchPlan plan, long diskSize, Func<long, byte[], CancellationToken, Task> request,
        Func<CancellationToken, Task> flush, CancellationToken cancellationToken)
    {
        Console.Write(
            $"Sending {plan.Count} {(plan.IsWrite ? "write" : "read")} requests, {plan.Size} bytes each, "
            + $"{plan.Depth} in parallel (starting at offset {plan.Start}, step size {plan.Step})\n"
            + (plan.FlushInterval == 0 ? "" : $"Sending flush every {plan.FlushInterval} requests\n"));

        var started = Stopwatch.GetTimestamp();
        await new DiskBenchRun(plan, diskSize, request, flush).RunAsync(cancellationToken);
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Run completed in {seconds:0.000} seconds."));
    }

    private DiskBenchPlan Read(ParseResult parsed)
    {
        var size = Number(parsed.GetValue(_size), 4096, int.MaxValue, "Invalid buffer size specified");
        var step = Number(parsed.GetValue(_step), 0, int.MaxValue, "Invalid step size specified");
        var plan = new DiskBenchPlan
        {
            Count = parsed.GetValue(_count) is { } count ? OptionText.Number(count) : 75000,
            Depth = parsed.GetValue(_depth) is { } depth ? OptionText.Number(depth) : 64,
            Size = (int)size,
            Step = step == 0 ? size : step,
            Start = Number(parsed.GetValue(_start), 0, long.MaxValue, "Invalid offset specified"),
            IsWrite = parsed.GetValue(_write),
            Pattern = (byte)Number(parsed.GetValue(_pattern), 0, 0xFF, "Invalid pattern byte specified"),
            FlushInterval = parsed.GetValue(_flush) is { } interval ? OptionText.Number(interval) : 0,
            IsDrained = !parsed.GetValue(_noDrain),
        };
        Require(plan.Depth > 0, "Invalid queue depth specified");
        Require(plan.IsWrite || plan.FlushInterval == 0, "--flush-interval is only available in write tests");
        Require(
            plan.FlushInterval == 0 || plan.FlushInterval >= plan.Depth,
            "Flush interval can't be smaller than depth");
        return plan;
    }

    private static long Number(string? text, long otherwise, long most, string refusal)
    {
        var number = text is null ? otherwise : Sizes.Parse(text);
        Require(number <= most, refusal);
        return number;
    }

    private static void Require(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new CommandException(sentence);
        }
    }
}
