namespace Registry.Api.Configuration;

/// <summary>A JSON file of settings that a command names.</summary>
internal static class ConfigurationFile
{
    // What else ASP.NET reads at the top would change the listeners beside Registry:Endpoints.
    private static readonly string[] Sections = ["Registry", "Logging", "$schema"];

    /// <summary>Adds the settings of a file.</summary>
    /// <exception cref="ConfigurationException">It does not exist, is no JSON, or has something else at its top than the sections
    /// Registry and Logging.</exception>
    public static void Add(ConfigurationManager configuration, FileInfo file)
    {
        if (!file.Exists)
        {
            throw new ConfigurationException($"The configuration file '{file}' does not exist.");
        }

        foreach (var section in Read(file).GetChildren())
        {
            if (!Sections.Contains(section.Key, StringComparer.OrdinalIgnoreCase))
            {
                throw new ConfigurationException(
                    $"{section.Key} in '{file}' is not a setting; settings are within the section Registry.");
            }

            if (section is { Key: not "$schema", Value: { Length: > 0 } })
            {
                throw new ConfigurationException($"{section.Key} in '{file}' is a text; it must be a section.");
            }
        }

        configuration.AddJsonFile(file.FullName, optional: false, reloadOnChange: false);
    }

    private static IConfigurationRoot Read(FileInfo file)
    {
        try
        {
            return new ConfigurationBuilder().AddJsonFile(file.FullName, optional: false, reloadOnChange: false).Build();
        }
        catch (Exception unreadable) when (unreadable is InvalidDataException or FormatException)
        {
            var cause = unreadable.InnerException?.InnerException ?? unreadable.InnerException ?? unreadable;
            throw new ConfigurationException($"The configuration file '{file}' cannot be read: {cause.Message}");
        }
    }
}
