namespace Registry.Engine.Tests.Formats;

/// <summary>Raw disks with content of a kind, the same in every run.</summary>
internal static class DiskContents
{
    public static readonly string[] Kinds = ["scattered", "zeroes", "full", "tail", "empty", "huge"];

    /// <summary>Writes a raw disk; what is not written stays a hole.</summary>
    public static async Task WriteAsync(string path, string kind, CancellationToken cancellationToken)
    {
        var random = new Random(kind.Length);
        await using var file = File.Create(path);
        switch (kind)
        {
            case "scattered":
                file.SetLength((10 << 20) + 1536);
                foreach (var offset in new[] { 0, 100_000, 5 << 20, (10 << 20) - 4096 })
                {
                    await WriteAsync(offset, random.Next(1, 300_000));
                }

                break;
            case "zeroes":
                file.SetLength(9 << 20);
                await WriteAsync(0, 3 << 20);
                file.Position = 1 << 20;
                await file.WriteAsync(new byte[2 << 20], cancellationToken);
                file.Position = 4 << 20;
                await file.WriteAsync(new byte[1 << 20], cancellationToken);
                break;
            case "full":
                await WriteAsync(0, (3 << 20) + 512);
                break;
            case "tail":
                file.SetLength((6 << 20) + 512);
                await WriteAsync((6 << 20) + 100, 412);
                break;
            case "empty":
                file.SetLength(5 << 20);
                break;
            case "huge":
                file.SetLength((5L << 30) + 512);
                await WriteAsync(0, 512);
                await WriteAsync((1L << 32) - 4096, 70_000);
                await WriteAsync((5L << 30) - 512, 1024);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(kind));
        }

        async Task WriteAsync(long offset, int length)
        {
            var bytes = new byte[Math.Min(length, Math.Max(length, file.Length - offset))];
            random.NextBytes(bytes);
            file.Position = offset;
            await file.WriteAsync(bytes, cancellationToken);
        }
    }
}
