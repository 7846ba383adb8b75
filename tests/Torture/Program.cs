using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;
using Registry.Torture;

// Makes an image and changes it until it is killed. Says what it is about to do and what has been flushed:
//   S 17   change 17 starts
//   F 17   everything up to change 17 has been flushed
if (args is not [var path, var seedText])
{
    await Console.Error.WriteLineAsync("Usage: Registry.Torture IMAGE SEED");
    return 2;
}

var writes = new RandomWrites(int.Parse(seedText, System.Globalization.CultureInfo.InvariantCulture));
await using var file = FileBytes.Create(path);
var shape = new QcowCreateOptions { Size = RandomWrites.DiskBytes, Shape = writes.Shape };
await using var disk = await QcowDisk.CreateAsync(file, shape, DiskOpenOptions.Local(path), CancellationToken.None);
await disk.FlushAsync(CancellationToken.None);
for (var number = 0; ; number++)
{
    Console.WriteLine($"S {number}");
    await writes.ApplyAsync(number, disk, CancellationToken.None);
    if (RandomWrites.IsFlushedAfter(number))
    {
        await disk.FlushAsync(CancellationToken.None);
        Console.WriteLine($"F {number}");
    }
}
