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

// pack FILE SEED           a disk image as an input of the targets vmdk, vhd, vhdx and vdi
if (args is ["pack", var image, var seed])
{
    await File.WriteAllBytesAsync(seed, SparseBytes.Pack(await File.ReadAllBytesAsync(image)));
    return 0;
}

Console.Error.WriteLine(
    $"usage: Registry.Fuzz fuzz TARGET | once TARGET FILE... | pack FILE SEED   ({string.Join(", ", FuzzTargets.ByName.Keys)})");
return 64;
