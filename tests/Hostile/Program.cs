using Registry.Engine.Disks;
using Registry.Hostile;

// hostile DIRECTORY    writes the whole set: one file an image; images.tsv: file, disk_format, reason, whether it is fine
//                      as raw; names.txt: what the files name outside themselves
if (args is not [var directory])
{
    await Console.Error.WriteLineAsync("usage: Registry.Hostile DIRECTORY");
    return 64;
}

Directory.CreateDirectory(directory);
var lines = new List<string>();
foreach (var (index, image) in HostileImage.All().Index())
{
    var file = $"{index:000}.{image.DiskFormat}";
    await File.WriteAllBytesAsync(Path.Combine(directory, file), image.Bytes);
    lines.Add($"{file}\t{image.DiskFormat}\t{FormatErrors.Code(image.Expected)}\t{(image.IsFineAsRaw ? "raw" : "-")}\t{image.Name}");
}

await File.WriteAllLinesAsync(Path.Combine(directory, "images.tsv"), lines);
await File.WriteAllLinesAsync(Path.Combine(directory, "names.txt"), HostileImage.NamedThings);
return 0;
