using System.Globalization;
using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Storage.Domain;

namespace Registry.Api.Stores;

/// <summary>/v2/info/stores and DELETE /v2/stores/{store}/{id} (spec/glance-v2.md, 2). With one store there is nothing to
/// choose, and Glance's clients expect to be told so with 404.</summary>
public static class StoreEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapStores(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/info/stores", ListAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet("/info/stores/detail", DetailAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/stores/{store}/{id}", DeleteAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static Task ListAsync(HttpContext context, StoreSet stores) =>
        WriteAsync(context, stores, withDetail: false);

    private static Task DetailAsync(HttpContext context, StoreSet stores, PolicyEngine policy)
    {
        policy.Require(Caller.Of(context), "stores_info_detail", PolicyTarget.None);
        return WriteAsync(context, stores, withDetail: true);
    }

    private static async Task DeleteAsync(
        HttpContext context, string store, string id, StoreSet stores, ImageCommands commands)
    {
        RequireMultiple(stores);
        await commands.DeleteFromStoreAsync(Caller.Of(context), id, store, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task WriteAsync(HttpContext context, StoreSet stores, bool withDetail)
    {
        RequireMultiple(stores);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("stores"u8);
        foreach (var (blobs, settings) in stores.All)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, settings.Id);
            if (settings.Description.Length > 0)
            {
                json.WriteString("description"u8, settings.Description);
            }

            WriteFlag(json, "default"u8, blobs == stores.Default);
            WriteFlag(json, "read-only"u8, !settings.TakesUploads);
            if (withDetail)
            {
                WriteDetail(json, settings);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    // A flag is the text "true", or it is not there.
    private static void WriteFlag(Utf8JsonWriter json, ReadOnlySpan<byte> name, bool value)
    {
        if (value)
        {
            json.WriteString(name, "true"u8);
        }
    }

    // Glance's words for the kinds and their properties; no address and no key is among them.
    private static void WriteDetail(Utf8JsonWriter json, StoreSection settings)
    {
        json.WriteString("type"u8, settings.Kind == "directory" ? "file" : settings.Kind);
        json.WriteNumber("weight"u8, settings.Weight);
        json.WriteStartObject("properties"u8);
        switch (settings.Kind)
        {
            case "directory":
                json.WriteString("data_dir"u8, settings.Path);
                json.WriteBoolean("thin_provisioning"u8, true);
                break;
            case "s3":
                json.WriteString("s3_store_large_object_chunk_size"u8, SegmentMebibytes);
                break;
        }

        json.WriteEndObject();
    }

    private static string SegmentMebibytes =>
        (Storage.Blobs.S3.S3Options.DefaultSegmentBytes >> 20).ToString(CultureInfo.InvariantCulture);

    private static void RequireMultiple(StoreSet stores)
    {
        if (!stores.IsMultiple)
        {
            throw new RegistryException(ErrorCode.NotFound, "Multi backend is not supported at this site.");
        }
    }
}
