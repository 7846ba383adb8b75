using System.Globalization;
using System.Text.Json;
using Google.Protobuf.WellKnownTypes;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>Prints images.</summary>
internal static class ImageOutput
{
    /// <summary>Prints one image as aligned lines.</summary>
    public static void WriteHuman(Image image)
    {
        foreach (var (name, value) in Lines(image))
        {
            Terminal.WriteLine($"{name,-18}{value}");
        }
    }

    /// <summary>Prints a table of images.</summary>
    public static void WriteTable(IReadOnlyList<Image> images)
    {
        TextTable.Write(
            ["ID", "NAME", "STATUS", "FORMAT", "SIZE", "VIRTUAL"],
            images.Select(i => new[]
            {
                i.Id, i.Name, i.Status, i.DiskFormat,
                i.HasSize ? Sizes.Show(i.Size) : "-", i.HasVirtualSize ? Sizes.Show(i.VirtualSize) : "-",
            }));
    }

    /// <summary>Writes one image as a JSON object, with the Image API's names.</summary>
    public static void WriteJson(Utf8JsonWriter json, Image image)
    {
        json.WriteStartObject();
        foreach (var (name, value) in image.Properties.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            json.WriteString(name, value);
        }

        json.WriteString("id", image.Id);
        json.WriteString("name", image.Name);
        json.WriteString("status", image.Status);
        json.WriteString("visibility", image.Visibility);
        json.WriteString("owner", image.Owner);
        json.WriteString("disk_format", image.DiskFormat);
        json.WriteString("container_format", image.ContainerFormat);
        WriteNumber(json, "size", image.HasSize ? image.Size : null);
        WriteNumber(json, "virtual_size", image.HasVirtualSize ? image.VirtualSize : null);
        json.WriteNumber("min_disk", image.MinDisk);
        json.WriteNumber("min_ram", image.MinRam);
        json.WriteBoolean("protected", image.Protected);
        json.WriteBoolean("os_hidden", image.Hidden);
        json.WriteString("checksum", image.Checksum);
        json.WriteString("os_hash_algo", image.HashAlgorithm);
        json.WriteString("os_hash_value", image.HashValue);
        json.WriteString("created_at", Time(image.CreatedAt));
        json.WriteString("updated_at", Time(image.UpdatedAt));
        json.WriteStartArray("tags");
        foreach (var tag in image.Tags)
        {
            json.WriteStringValue(tag);
        }

        json.WriteEndArray();
        if (image.LastFailure is { } failure)
        {
            json.WriteStartObject("last_failure");
            json.WriteString("code", failure.Code);
            json.WriteString("message", failure.Message);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static IEnumerable<(string Name, string Value)> Lines(Image image)
    {
        yield return ("id", image.Id);
        yield return ("name", image.Name);
        yield return ("status", image.Status);
        if (image.LastFailure is { } failure)
        {
            yield return ("last failure", $"{failure.Message} ({failure.Code})");
        }

        yield return ("visibility", image.Visibility);
        yield return ("owner", image.Owner);
        yield return ("disk format", image.DiskFormat);
        yield return ("container format", image.ContainerFormat);
        yield return ("size", image.HasSize ? $"{Sizes.Show(image.Size)} ({image.Size} bytes)" : "-");
        yield return (
            "virtual size",
            image.HasVirtualSize ? $"{Sizes.Show(image.VirtualSize)} ({image.VirtualSize} bytes)" : "-");
        yield return ("min disk", $"{image.MinDisk} GiB");
        yield return ("min ram", $"{image.MinRam} MiB");
        yield return ("protected", image.Protected ? "yes" : "no");
        yield return ("hidden", image.Hidden ? "yes" : "no");
        yield return ("md5", image.Checksum);
        yield return ("sha512", image.HashValue);
        yield return ("created", Time(image.CreatedAt));
        yield return ("updated", Time(image.UpdatedAt));
        yield return ("tags", string.Join(", ", image.Tags));
        foreach (var (name, value) in image.Properties.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            yield return (name, value);
        }
    }

    /// <summary>A time for people and scripts: UTC, whole seconds.</summary>
    public static string Time(Timestamp time) =>
        time.ToDateTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static void WriteNumber(Utf8JsonWriter json, string name, long? value)
    {
        if (value is { } number)
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
