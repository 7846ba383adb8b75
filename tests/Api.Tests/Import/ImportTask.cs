using System.Net.Http.Json;
using System.Text.Json;

namespace Registry.Api.Tests.Import;

/// <summary>An image's last import, as the Image API tells of it.</summary>
internal static class ImportTask
{
    /// <summary>Waits for its end, good or bad.</summary>
    public static async Task<JsonElement> EndAsync(HttpClient http, string imageId)
    {
        while (true)
        {
            var tasks = await http.GetFromJsonAsync<JsonElement>($"/v2/images/{imageId}/tasks", RegistryApp.Stop);
            var task = tasks.GetProperty("tasks")[0];
            if (task.GetProperty("status").GetString() is "success" or "failure")
            {
                return task;
            }

            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
