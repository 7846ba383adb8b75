using System.Globalization;

namespace Registry.Support;

/// <summary>A control group with little memory and processor time, for one process; gone when it is disposed.</summary>
public sealed class SmallMachine : IDisposable
{
    private const string Root = "/sys/fs/cgroup";
    private const int PeriodMicroseconds = 100_000;
    private static readonly TimeSpan RemovalLimit = TimeSpan.FromSeconds(5);
    private readonly List<string> _groups = [];

    private SmallMachine()
    {
    }

    /// <summary>A command that runs what follows it in the group: a program and its arguments.</summary>
    public IReadOnlyList<string> Wrapper
    {
        get
        {
            var enter = string.Join(" && ", _groups.Select(group => $"echo $$ >{group}/cgroup.procs"));
            return ["/bin/sh", "-c", enter + " && exec \"$@\"", "sh"];
        }
    }

    /// <summary>Processes of the group that the kernel killed for want of memory.</summary>
    public long Kills => Number("memory/", "memory.oom_control", "oom_kill ") + Number("", "memory.events", "oom_kill ");

    /// <summary>Makes a group.</summary>
    /// <param name="memoryBytes">Bytes of memory.</param>
    /// <param name="processors">Processors, such as 0.5.</param>
    /// <returns>Null where this process may not make one.</returns>
    public static SmallMachine? TryCreate(long memoryBytes, double processors)
    {
        var machine = new SmallMachine();
        var name = $"registry-{Environment.ProcessId}-{Guid.NewGuid():N}";
        var quota = (long)(processors * PeriodMicroseconds);
        try
        {
            if (File.Exists(Path.Combine(Root, "cgroup.controllers")))
            {
                machine.Add("", name, ("memory.max", memoryBytes), ("memory.swap.max", 0));
                File.WriteAllText(Path.Combine(machine._groups[0], "cpu.max"), $"{quota} {PeriodMicroseconds}");
                return machine;
            }

            machine.Add("memory", name, ("memory.limit_in_bytes", memoryBytes));
            machine.Add("cpu", name, ("cpu.cfs_period_us", PeriodMicroseconds), ("cpu.cfs_quota_us", quota));
            return machine;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            machine.Dispose();
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // A process that has just ended is in its group for a moment longer.
        var until = TimeProvider.System.GetTimestamp();
        foreach (var group in _groups.Where(Directory.Exists))
        {
            while (true)
            {
                try
                {
                    Directory.Delete(group);
                    break;
                }
                catch (IOException) when (TimeProvider.System.GetElapsedTime(until) < RemovalLimit)
                {
                    Thread.Sleep(20);
                }
            }
        }
    }

    private void Add(string controller, string name, params (string File, long Value)[] settings)
    {
        var group = Path.Combine(Root, controller, name);
        Directory.CreateDirectory(group);
        _groups.Add(group);
        foreach (var (file, value) in settings.Where(setting => File.Exists(Path.Combine(group, setting.File))))
        {
            File.WriteAllText(Path.Combine(group, file), value.ToString(CultureInfo.InvariantCulture));
        }
    }

    private long Number(string controller, string file, string line)
    {
        var path = _groups.Where(group => group.Contains('/' + controller, StringComparison.Ordinal))
            .Select(group => Path.Combine(group, file)).FirstOrDefault(File.Exists);
        var text = path is null ? null : File.ReadLines(path).FirstOrDefault(l => l.StartsWith(line, StringComparison.Ordinal));
        return text is null ? 0 : long.Parse(text[line.Length..], CultureInfo.InvariantCulture);
    }
}
