using System.CommandLine;

namespace Registry.Api.Cli;

/// <summary>What a verb may do to the file that it writes.</summary>
/// <param name="MayOverwrite">Whether an existing file is replaced; a block device is written without it.</param>
/// <param name="Mode">Permission bits of a new file. An overwritten file keeps its own.</param>
internal sealed record TargetRules(bool MayOverwrite, UnixFileMode Mode)
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode EveryBit = OwnerOnly
        | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
    private const UnixFileMode WriteBits = UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;
    private const string StatusFile = "/proc/self/status";
    private const string StatusName = "Umask:";

    private static readonly Option<bool> Overwrite = new("--overwrite")
    {
        Description = "Replace an existing file; it keeps its owner, mode, access list and security label",
    };

    private static readonly Option<string?> ModeOption = new("--mode")
    {
        Description = "Permission bits of a new file in octal, or 'umask' for those that the umask leaves [default: 0600]",
    };

    /// <summary>A new file that only its owner may read and write.</summary>
    public static TargetRules NewFile { get; } = new(false, OwnerOnly);

    /// <summary>The same for a file that is never written again.</summary>
    public TargetRules ForReading => this with { MayOverwrite = false, Mode = Mode & ~WriteBits };

    /// <summary>Adds the options to a verb that writes a file of the user's choice.</summary>
    public static void AddTo(Command command)
    {
        command.Add(Overwrite);
        command.Add(ModeOption);
    }

    /// <summary>Adds the option that says how new files are made.</summary>
    public static void AddModeTo(Command command) => command.Add(ModeOption);

    /// <summary>Reads the options.</summary>
    /// <exception cref="CommandException">The mode is not valid.</exception>
    public static TargetRules Of(ParseResult parsed) => new(
        parsed.CommandResult.GetResult(Overwrite) is not null && parsed.GetValue(Overwrite),
        parsed.GetValue(ModeOption) switch
        {
            null => OwnerOnly,
            "umask" => EveryBit & ~Umask(),
            var text => Parse(text),
        });

    private static UnixFileMode Parse(string text)
    {
        var value = 0;
        foreach (var digit in text)
        {
            value = digit is >= '0' and <= '7' && value <= 0xFFF ? (value * 8) + (digit - '0') : int.MaxValue;
        }

        // A disk is never executed, and the run that makes it must be able to read it.
        return text.Length is 3 or 4 && ((UnixFileMode)value & ~EveryBit) == 0 && (value & 0x180) == 0x180
            ? (UnixFileMode)value
            : throw new CommandException(
                $"invalid mode '{text}': expected octal permission bits from 0600 to 0666, or 'umask' (for example 0640)");
    }

    // Asking by umask(2) would change it for other threads meanwhile.
    private static UnixFileMode Umask()
    {
        var line = File.ReadLines(StatusFile).FirstOrDefault(line => line.StartsWith(StatusName, StringComparison.Ordinal));
        return line is null ? EveryBit & ~OwnerOnly : (UnixFileMode)Convert.ToInt32(line[StatusName.Length..].Trim(), 8);
    }
}
