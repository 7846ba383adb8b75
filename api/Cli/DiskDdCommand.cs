using System.CommandLine;
using Registry.Engine.Convert;
using Registry.Engine.Disks;

namespace Registry.Api.Cli;

/// <summary>registry disk dd.</summary>
internal sealed class DiskDdCommand
{
    private readonly Argument<string[]> _operands = new("if=FILE of=FILE [bs=BYTES] [count=N] [skip=N]")
    {
        Description = "Where from and where to; size of a block [512]; how many blocks of FILE from its start take part "
            + "[all]; how many of those are left out",
        Arity = ArgumentArity.ZeroOrMore,
    };
    private readonly Option<string?> _sourceFormat = DiskFile.FormatOption("-f", "Format of the input [found out]");
    private readonly Option<string?> _targetFormat = DiskFile.TargetFormatOption("-O", "Format of the output [raw]");
    private readonly Option<string?> _passphrase = DiskFile.PassphraseOption();
    private readonly Option<bool> _share = DiskFile.ShareOption();

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var self = new DiskDdCommand();
        var command = new Command("dd", """
            Copy a part of a disk to a new file or a block device. As with qemu-img, count counts from the start of the
            input, so that count=3 skip=1 copies two blocks.
              registry disk dd if=disk.qcow2 of=boot.raw bs=1M count=1
              registry disk dd -O qcow2 if=disk.raw of=rest.qcow2 bs=1M skip=100
            """)
        {
            self._operands, self._sourceFormat, self._targetFormat, self._passphrase, self._share,
        };
        TargetRules.AddTo(command);
        command.SetAction(self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (input, output, block, count, skip) = Read(parsed.GetValue(_operands) ?? []);
        if (DiskFile.AreSame(input, output))
        {
            throw new CommandException($"'{input}' cannot be copied onto itself.");
        }

        await using var disk = await DiskFile.OpenAsync(
            input, parsed.GetValue(_sourceFormat), parsed.GetValue(_passphrase), parsed.GetValue(_share), cancellationToken);
        var end = count is { } blocks && blocks <= long.MaxValue / block
            ? Math.Min(disk.Image.VirtualSize, blocks * block)
            : disk.Image.VirtualSize;
        if (skip > end / block)
        {
            await Console.Error.WriteLineAsync($"registry: {input}: cannot skip to specified offset");
        }

        var start = skip > end / block ? end : skip * block;
        await using var target = await TargetFile.OpenAsync(output, TargetRules.Of(parsed), cancellationToken);
        await Converter.ConvertAsync(
            [new DiskPart(disk.Image, start, end - start)],
            target.Bytes,
            target.IsNew,
            parsed.GetValue(_targetFormat) == "qcow2" ? DiskFormat.Qcow2 : DiskFormat.Raw,
            new ConvertOptions { IsDurable = false },
            cancellationToken);
        target.Publish(isDurable: false);
        return 0;
    }

    private static (string Input, string Output, long Block, long? Count, long Skip) Read(string[] operands)
    {
        var (input, output, block, count, skip) = ((string?)null, (string?)null, 512L, (long?)null, 0L);
        foreach (var operand in operands)
        {
            var (name, value) = operand.Split('=', 2) is [var key, var text]
                ? (key, text)
                : throw new CommandException($"unrecognized operand '{operand}'");
            switch (name)
            {
                case "if":
                    input = value;
                    break;
                case "of":
                    output = value;
                    break;
                case "bs":
                    block = Number(value, 1, int.MaxValue);
                    break;
                case "count":
                    count = Number(value, 0, long.MaxValue);
                    break;
                case "skip":
                    skip = Number(value, 0, long.MaxValue);
                    break;
                default:
                    throw new CommandException($"unrecognized operand '{operand}'");
            }
        }

        return input is not null && output is not null
            ? (input, output, block, count, skip)
            : throw new CommandException("Must specify both input and output file names");
    }

    private static long Number(string text, long least, long most)
    {
        var number = Sizes.Parse(text);
        return number >= least && number <= most
            ? number
            : throw new CommandException($"invalid number: '{text}'");
    }
}
