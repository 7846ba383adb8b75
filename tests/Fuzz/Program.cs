using Registry.Fuzz;
using SharpFuzz;

// fuzz TARGET              run by afl-fuzz, which hands in one input after the other
// once TARGET FILE...      run the target on files, as a plain program: reproduces what the fuzzer found
if (args is ["fuzz", var target])
{
    Fuzzer.OutOfProcess.Run(stream =>
    {
        using var input = new MemoryStream();
        stream.CopyTo(input);
        FuzzTargets.RunAsync(target, input.ToArray(), FuzzTargets.BudgetTime).Wait();
    });
    return 0;
}

if (args is ["once", var name, .. var files])
{
    foreach (var file in files)
    {
        await FuzzTargets.RunAsync(name, await File.ReadAllBytesAsync(file), FuzzTargets.BudgetTime);
        Console.WriteLine($"{file}: fine");
    }

    return 0;
}

Console.Error.WriteLine("usage: Registry.Fuzz fuzz TARGET | once TARGET FILE...   (read, check, inspect)");
return 64;
