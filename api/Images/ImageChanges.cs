using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Locations;
using Registry.Api.Policy;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>Applies a patch to an image (spec/glance-v2.md, 4): all of it or nothing.</summary>
internal static class ImageChanges
{
    /// <summary>Applies the operations in order.</summary>
    /// <returns>False when there was none.</returns>
    /// <exception cref="RegistryException">Forbidden for read-only and reserved attributes, Conflict for what is there
    /// or is missing, BadRequest for values, TooLarge for counts.</exception>
    public static bool Apply(
        Caller caller,
        Image image,
        ImagePatch patch,
        LimitsSection limits,
        PropertyProtections protections,
        LocationEdits? locations = null)
    {
        var propertiesBefore = CountProperties(image);
        foreach (var operation in patch.Operations)
        {
            if (locations is not null && LocationEdits.IsAboutLocations(operation))
            {
                locations.Apply(image, operation);
                continue;
            }

            var name = operation.Path[0];
            if (ImageAttributes.IsBase(name))
            {
                ApplyBase(caller, image, operation, name, patch.IsStrictAdd);
            }
            else
            {
                ApplyProperty(caller, image, operation, protections, patch.IsStrictAdd);
            }
        }

        ImageRules.RequireCount("tags", image.Tags.Count, limits.Tags);
        if (CountProperties(image) > propertiesBefore)
        {
            ImageRules.RequireCount("properties", CountProperties(image), limits.Properties);
        }

        return patch.Operations.Count > 0;
    }

    /// <summary>Sets a format, which only an image without bytes may change. One that is staged may too, or it would be stuck.</summary>
    public static void SetFormat(Image image, string attribute, string? value)
    {
        if (image.Status is not (ImageStatus.Queued or ImageStatus.Uploading or ImageStatus.Importing))
        {
            throw new RegistryException(
                ErrorCode.Forbidden, $"Attribute {attribute} can be only replaced for a queued image.");
        }

        if (attribute == "disk_format")
        {
            image.DiskFormat = ImageRules.DiskFormat(value);
        }
        else
        {
            image.ContainerFormat = ImageRules.ContainerFormat(value);
        }
    }

    // What the server itself keeps on an image is not the user's to answer for.
    private static int CountProperties(Image image) =>
        image.Properties.Count(p => !p.Name.StartsWith("os_glance", StringComparison.Ordinal));

    /// <summary>Refuses changes of what only the server sets. Locations have rules of their own.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public static void RequireWritable(string name)
    {
        if (ImageAttributes.ReadOnly.Contains(name))
        {
            throw ImageAttributes.ReadOnlyAttribute(name);
        }

        if (name != "locations")
        {
            ImageRules.RequireNotReserved(name);
        }
    }

    private static void ApplyBase(Caller caller, Image image, PatchOperation operation, string name, bool isStrictAdd)
    {
        if (operation.Kind == PatchOperationKind.Remove)
        {
            throw new RegistryException(ErrorCode.Forbidden, $"Property {name} may not be removed.");
        }

        if (operation.Kind == PatchOperationKind.Add && isStrictAdd)
        {
            throw AlreadyPresent(name);
        }

        var value = operation.Value;
        switch (name)
        {
            case "name":
                image.Name = ImageRules.Text(name, value.GetString());
                break;
            case "owner":
                SetOwner(caller, image, value.GetString());
                break;
            case "visibility":
                image.Visibility = ImageRules.Visibility(value.GetString()!);
                break;
            case "disk_format" or "container_format":
                SetFormat(image, name, value.GetString());
                break;
            case "min_disk":
                image.MinDisk = ImageRules.Minimum(name, ImageAttributes.Integer(value));
                break;
            case "min_ram":
                image.MinRam = ImageRules.Minimum(name, ImageAttributes.Integer(value));
                break;
            case "protected":
                image.IsProtected = value.GetBoolean();
                break;
            case "os_hidden":
                image.IsHidden = value.GetBoolean();
                break;
            case "tags":
                image.ReplaceTags(value.EnumerateArray().Select(v => ImageRules.Tag(v.GetString()!)).ToArray());
                break;
            default:
                throw ImageAttributes.ReadOnlyAttribute(name);
        }
    }

    // What the caller does not see is not there, as far as it is told.
    private static void ApplyProperty(
        Caller caller, Image image, PatchOperation operation, PropertyProtections protections, bool isStrictAdd)
    {
        var name = operation.Path[0];
        var exists = image.FindProperty(name) is not null && protections.IsSeen(caller, name);
        if (operation.Kind != PatchOperationKind.Add && !exists)
        {
            throw new RegistryException(ErrorCode.Conflict, $"Property {ImageRules.Shown(name)} does not exist.");
        }

        if (operation.Kind == PatchOperationKind.Add && exists && isStrictAdd)
        {
            throw AlreadyPresent(name);
        }

        if (operation.Kind == PatchOperationKind.Remove)
        {
            protections.Remove(caller, image, name);
            return;
        }

        protections.Set(caller, image, name, operation.Value.GetString() ?? ImageProperty.Null);
    }

    private static void SetOwner(Caller caller, Image image, string? owner)
    {
        if (!caller.IsAdmin)
        {
            throw new RegistryException(ErrorCode.Forbidden, "Owner can't be updated by non admin.");
        }

        image.Owner = ImageRules.Text("owner", owner);
    }

    private static RegistryException AlreadyPresent(string name) =>
        new(ErrorCode.Conflict, $"Property {ImageRules.Shown(name)} already present.");
}
