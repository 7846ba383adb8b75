namespace Registry.Api.Cli;

/// <summary>What a provision moved.</summary>
/// <param name="Image">The image's id.</param>
/// <param name="Path">The disk.</param>
/// <param name="Format">Its format.</param>
/// <param name="Outcome">What came over the wire; null where the base was in the cache.</param>
internal sealed record ProvisionReport(string Image, string Path, string Format, DiskDownload.Outcome? Outcome)
{
    /// <summary>Bytes of an overlay's disk; null where it is no overlay.</summary>
    public long? ThinSize { get; init; }

    /// <summary>Prints it.</summary>
    public void Print(bool isJson)
    {
        if (isJson)
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartObject();
                json.WriteString("image", Image);
                json.WriteString("path", Path);
                json.WriteString("format", Format);
                foreach (var (name, bytes) in Numbers())
                {
                    json.WriteNumber(name.Replace(' ', '-'), bytes);
                }

                json.WriteEndObject();
            });
            return;
        }

        foreach (var (name, bytes) in Numbers().Where(number => number.Name != "image virtual size"))
        {
            Console.WriteLine($"{name,-16} {Sizes.Show(bytes),10} ({bytes} bytes)");
        }
    }

    private IEnumerable<(string Name, long Bytes)> Numbers()
    {
        var size = ThinSize ?? Outcome!.Start.Size;
        if (Outcome is null)
        {
            yield return ("virtual size", size);
            yield return ("read from store", 0);
            yield break;
        }

        yield return ("image virtual size", Outcome.Start.Info.VirtualSize);
        yield return ("virtual size", size);
        yield return ("allocated", Outcome.Start.Allocated);
        yield return ("stored", Outcome.Start.Stored);
        yield return ("read from store", Outcome.StoreBytesRead);
        yield return ("written", Outcome.Written);
        if (Outcome.ResumedAt > 0)
        {
            yield return ("resumed at", Outcome.ResumedAt);
        }
    }
}
