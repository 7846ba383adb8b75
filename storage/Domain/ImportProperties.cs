namespace Registry.Storage.Domain;

/// <summary>The properties by which an image tells of its import. Users see them and do not set them.</summary>
public static class ImportProperties
{
    /// <summary>What the names of all properties begin with that the registry itself keeps.</summary>
    public const string Prefix = "os_glance";

    /// <summary>The import under way: a task's id.</summary>
    public const string Task = "os_glance_import_task";

    /// <summary>The stores that the import has yet to bring the bytes to, separated by commas.</summary>
    public const string Stores = "os_glance_importing_to_stores";

    /// <summary>The stores that the import did not bring the bytes to, separated by commas.</summary>
    public const string Failed = "os_glance_failed_import";
}
