using System.Globalization;
using Microsoft.Extensions.Primitives;
using Registry.Protos.V1;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Images;

/// <summary>Reads a list request (spec/glance-v2.md, 6) and writes its links.</summary>
internal static class ImageListQuery
{
    /// <summary>Reads the query of GET /v2/images.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static ImageListRequest Read(IQueryCollection query, LimitsSection limits)
    {
        var request = new ImageListRequest { Limit = limits.ListDefault, Sort = ImageSortQuery.Read(query) };
        List<KeyValuePair<string, string>> properties = [];
        foreach (var (name, values) in query)
        {
            var value = values[^1] ?? "";
            ImageRules.RequireNoNul(name, string.Concat(values.ToArray()));
            request = name switch
            {
                "limit" => request with { Limit = Limit(value, limits.ListMax) },
                "marker" => request with { Marker = value },
                "sort" or "sort_key" or "sort_dir" => request,
                "tag" => request with { Tags = [.. request.Tags, .. Values(values)] },
                "tags" => request with { Tags = [.. request.Tags, .. value.Select(letter => letter.ToString())] },
                "changes-since" => throw ImageRules.Bad("The \"changes-since\" filter is no longer available."),
                "deleted" or "is_public" or "location" => request,
                _ => Filter(request, name, value, values, properties),
            };
        }

        return request with { Properties = properties };
    }

    /// <summary>Reads a gRPC list request.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static ImageListRequest From(ListImagesRequest request, LimitsSection limits) => Visible(
        new ImageListRequest
        {
            Limit = request.PageSize == 0
                ? limits.ListDefault
                : Limit(request.PageSize.ToString(CultureInfo.InvariantCulture), limits.ListMax),
            Marker = request.Marker.Length > 0 ? request.Marker : null,
            Names = request.Name.Length > 0 ? [request.Name] : null,
            Statuses = request.Status.Length > 0 ? [request.Status] : null,
            Owner = request.Owner.Length > 0 ? request.Owner : null,
            Tags = request.Tags,
            Properties = [.. request.Properties],
            Sort = ImageSortQuery.Parse(request.Sort),
        },
        request.Visibility);

    private static ImageListRequest Filter(
        ImageListRequest request,
        string name,
        string value,
        StringValues values,
        List<KeyValuePair<string, string>> properties)
    {
        switch (name)
        {
            case "visibility": return Visible(request, value);
            case "member_status": return request with { MemberStatus = Member(value) };
            case "os_hidden": return request with { IsHidden = Boolean(name, value.ToLowerInvariant()) };
            case "protected": return request with { IsProtected = Boolean(name, value) };
            case "owner": return request with { Owner = value };
            case "checksum": return request with { Checksum = value };
            case "os_hash_algo": return request with { HashAlgorithm = value };
            case "os_hash_value": return request with { HashValue = value };
            case "name": return request with { Names = FilterValues.Read(value) };
            case "id": return request with { Ids = FilterValues.Read(value) };
            case "status": return request with { Statuses = FilterValues.Read(value) };
            case "container_format": return request with { ContainerFormats = FilterValues.Read(value) };
            case "disk_format": return request with { DiskFormats = FilterValues.Read(value) };
            case "created_at": return request with { CreatedAt = [.. Values(values).Select(FilterValues.ReadTime)] };
            case "updated_at": return request with { UpdatedAt = [.. Values(values).Select(FilterValues.ReadTime)] };
        }

        if (Number(request, name, value) is { } filtered)
        {
            return filtered;
        }

        properties.AddRange(Values(values).Select(v => new KeyValuePair<string, string>(name, v)));
        return request;
    }

    private static ImageListRequest? Number(ImageListRequest request, string name, string value)
    {
        var (column, bound) = name.EndsWith("_min", StringComparison.Ordinal) ? (name[..^4], "min")
            : name.EndsWith("_max", StringComparison.Ordinal) ? (name[..^4], "max")
            : (name, "");
        NumberFilter With(NumberFilter filter)
        {
            var number = long.TryParse(
                value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parsed)
                ? parsed
                : throw ImageRules.Bad($"'{ImageRules.Shown(value)}' is not a whole number for {name}.");
            return bound switch
            {
                "min" => filter with { Min = number },
                "max" => filter with { Max = number },
                _ => filter with { Exact = number },
            };
        }

        return column switch
        {
            _ when bound.Length > 0
                && !decimal.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out var _) =>
                throw ImageRules.Bad($"'{ImageRules.Shown(value)}' is not a number for {name}."),
            "size" => request with { Size = With(request.Size) },
            "virtual_size" => request with { VirtualSize = With(request.VirtualSize) },
            "min_ram" => request with { MinRam = With(request.MinRam) },
            "min_disk" => request with { MinDisk = With(request.MinDisk) },
            _ => null,
        };
    }

    private static ImageListRequest Visible(ImageListRequest request, string value)
    {
        if (value is "" or "all")
        {
            return request with { AllVisibilities = value == "all" };
        }

        return request with { Visibility = ImageRules.Visibility(value) };
    }

    private static MemberStatus? Member(string value)
    {
        if (value == "all")
        {
            return null;
        }

        return MemberStatuses.TryParse(value, out var status)
            ? status
            : throw ImageRules.Bad($"Invalid status: {ImageRules.Shown(value)}");
    }

    private static bool Boolean(string name, string value) => value switch
    {
        "true" => true,
        "false" => false,
        _ => throw ImageRules.Bad($"Invalid value '{ImageRules.Shown(value)}' for {name}; it must be true or false."),
    };

    /// <summary>Reads the number of entries asked for; one above the maximum means the maximum.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static int Limit(string value, int max)
    {
        value = value.Trim();
        if (value.Length == 0 || !value.All(char.IsAsciiDigit))
        {
            throw ImageRules.Bad("limit param must be a whole number, 0 or more.");
        }

        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var limit)
            ? Math.Min(limit, max)
            : max;
    }

    private static IEnumerable<string> Values(StringValues values) => values.Select(value => value ?? "");
}
