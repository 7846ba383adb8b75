using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;

namespace Registry.Faults;

/// <summary>The few requests that the checks make.</summary>
internal static class Api
{
    /// <summary>Registers an image.</summary>
    /// <exception cref="HttpRequestException">It was not registered, or nobody knows.</exception>
    public static async Task<string> CreateAsync(this HttpClient http, string name, string format = "raw")
    {
        using var response = await http.PostAsJsonAsync(
            "/v2/images", new { name, disk_format = format, container_format = "bare" });
        if (response.StatusCode != HttpStatusCode.Created)
        {
            throw new HttpRequestException($"POST: {(int)response.StatusCode}", null, response.StatusCode);
        }

        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
    }

    /// <summary>Uploads and tells the status.</summary>
    public static async Task<int> UploadAsync(this HttpClient http, string id, HttpContent content)
    {
        content.Headers.ContentType = new("application/octet-stream");
        using var response = await http.PutAsync($"/v2/images/{id}/file", content);
        return (int)response.StatusCode;
    }

    /// <summary>Uploads and tells the status.</summary>
    public static async Task<int> UploadAsync(this HttpClient http, string id, byte[] content)
    {
        using var body = new ByteArrayContent(content);
        return await http.UploadAsync(id, body);
    }

    /// <summary>Registers and uploads; must work.</summary>
    public static async Task<string> AddAsync(this HttpClient http, byte[] content, string name = "")
    {
        var id = await http.CreateAsync(name);
        var status = await http.UploadAsync(id, content);
        return status == 204 ? id : throw new FaultException($"an upload was answered with {status}");
    }

    /// <summary>Shows an image; null when there is none.</summary>
    public static async Task<JsonElement?> ShowAsync(this HttpClient http, string id)
    {
        using var response = await http.GetAsync($"/v2/images/{id}");
        if (response.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }

        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>An image's status; "none" when there is no such image.</summary>
    public static async Task<string> StatusAsync(this HttpClient http, string id) =>
        (await http.ShowAsync(id))?.GetProperty("status").GetString() ?? "none";

    /// <summary>Downloads and digests an image's bytes.</summary>
    /// <exception cref="HttpRequestException">They did not come, or not all.</exception>
    public static async Task<(string Sha512, string Md5, long Length)> DigestAsync(this HttpClient http, string id)
    {
        using var response = await http.GetAsync(
            $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        using var sha512 = IncrementalHash.CreateHash(HashAlgorithmName.SHA512);
#pragma warning disable CA5351 // what the Image API calls the checksum
        using var md5 = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
#pragma warning restore CA5351
        await using var body = await response.Content.ReadAsStreamAsync();
        var buffer = new byte[256 * 1024];
        var length = 0L;
        try
        {
            for (int read; (read = await body.ReadAsync(buffer)) > 0; length += read)
            {
                sha512.AppendData(buffer, 0, read);
                md5.AppendData(buffer, 0, read);
            }
        }
        catch (IOException cut)
        {
            throw new HttpRequestException("cut", cut);
        }

        return (
            Convert.ToHexStringLower(sha512.GetHashAndReset()), Convert.ToHexStringLower(md5.GetHashAndReset()), length);
    }

    /// <summary>Posts JSON and reads the JSON answer.</summary>
    public static async Task<JsonElement> PostAsync(this HttpClient http, string path, object body)
    {
        using var response = await http.PostAsJsonAsync(path, body);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>Waits for a job's end.</summary>
    public static async Task<JsonElement> EndOfJobAsync(this HttpClient http, string id)
    {
        while (true)
        {
            var job = await http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{id}");
            if (job.GetProperty("ended_at").ValueKind != JsonValueKind.Null)
            {
                return job;
            }

            await Task.Delay(100);
        }
    }

    /// <summary>Scrubs all stores, every byte, and tells what was found: problem and image.</summary>
    public static async Task<IReadOnlyList<(string Problem, string Image)>> ScrubAsync(
        this HttpClient http, bool apply = false)
    {
        var asked = await http.PostAsync("/registry/v1/scrubs", new { apply });
        var job = await http.EndOfJobAsync(asked.GetProperty("id").GetString()!);
        if (job.GetProperty("status").GetString() != "succeeded")
        {
            throw new FaultException($"the scrub failed: {job.GetRawText()}");
        }

        return [.. job.GetProperty("result").GetProperty("findings").EnumerateArray().Select(f =>
            (f.GetProperty("problem").GetString()!, f.GetProperty("imageId").GetString()!))];
    }
}
