using Registry.Support;

namespace Registry.Faults;

/// <summary>A wall clock of its own for one process: a preloaded library whose offset can be changed at any time.</summary>
internal sealed class ClockShim
{
    private readonly string _library;
    private readonly string _offset;

    private ClockShim(string library, string offset) => (_library, _offset) = (library, offset);

    /// <summary>What the process needs in its environment.</summary>
    public Dictionary<string, string> Environment => new()
    {
        ["LD_PRELOAD"] = _library,
        ["CLOCK_SHIM_FILE"] = _offset,
    };

    /// <summary>Builds the library, and a clock that is right so far.</summary>
    /// <exception cref="CannotRunException">There is no C compiler.</exception>
    public static async Task<ClockShim> CreateAsync(string directory, string name)
    {
        var compiler = ExternalTool.Find("gcc") ?? throw new CannotRunException("gcc is not installed");
        var library = Path.Combine(directory, "clock-shim.so");
        if (!File.Exists(library))
        {
            var built = await ExternalTool.At(compiler).RunAsync(
                ["-shared", "-fPIC", "-O2", "-o", library, RepositoryTree.File("tests", "faults", "clock-shim.c")],
                CancellationToken.None);
            if (built.ExitCode != 0)
            {
                throw new CannotRunException($"the clock shim does not compile: {built.Error}");
            }
        }

        var shim = new ClockShim(library, Path.Combine(directory, $"{name}.clock"));
        await File.WriteAllBytesAsync(shim._offset, new byte[sizeof(long)]);
        return shim;
    }

    /// <summary>Steps the clock to so far ahead of the kernel's.</summary>
    public void Step(TimeSpan ahead)
    {
        using var file = new FileStream(_offset, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        file.Write(BitConverter.GetBytes((long)ahead.TotalSeconds)); // in place: the process has it mapped
    }
}
