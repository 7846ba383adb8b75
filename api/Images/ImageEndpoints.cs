using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Locations;
using Registry.Api.Policy;
using Registry.Api.Schemas;
using Registry.Api.Stores;
using Registry.Api.Versions;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>/v2/images and the actions on one image (spec/glance-v2.md, 2).</summary>
public static class ImageEndpoints
{
    private const int FlushBytes = 64 * 1024;

    /// <summary>Lists the routes.</summary>
    public static void MapImages(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/images", ListAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPost("/images", CreateAsync);
        v2.MapGet("/images/{id}", ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPatch("/images/{id}", PatchAsync);
        v2.MapDelete("/images/{id}", DeleteAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost("/images/{id}/actions/deactivate", DeactivateAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost("/images/{id}/actions/reactivate", ReactivateAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(
        HttpContext context, ImageCommands commands, LocationViews locations, IOptions<RegistryOptions> options)
    {
        var request = ImageListQuery.Read(context.Request.Query, options.Value.Limits);
        var caller = Caller.Of(context);
        using var memory = await commands.ReserveAsync(Caller.Of(context), request, context.RequestAborted);
        var images = await commands.ListAsync(caller, request, context.RequestAborted);
        var isFull = images.Count > 0 && images.Count == request.Limit;
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("images"u8);
        string? last = null; // of those that are shown: what is not shown is not named either
        await foreach (var image in commands.CompleteAsync(caller, images, context.RequestAborted))
        {
            last = image.Id;
            ImageJson.Write(json, image, caller, locations);
            if (json.BytesPending > FlushBytes)
            {
                await json.FlushAsync(context.RequestAborted);
            }
        }

        json.WriteEndArray();
        json.WriteString("first"u8, PageLink.Of("/v2/images", context.Request, null));
        if (isFull && last is not null)
        {
            json.WriteString("next"u8, PageLink.Of("/v2/images", context.Request, last));
        }

        json.WriteString("schema"u8, "/v2/schemas/images");
        json.WriteEndObject();
    }

    private static async Task CreateAsync(
        HttpContext context, ImageCommands commands, StoreSet stores, CustomProperties custom,
        IOptions<RegistryOptions> options)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var draft = ImageAttributes.ReadDraft(body.RootElement, custom);
        var image = await commands.CreateAsync(Caller.Of(context), draft, context.RequestAborted);
        context.Response.Headers.Location = $"{VersionEndpoints.Base(context)}/v2/images/{image.Id}";
        if (options.Value.Import.Methods.Length > 0)
        {
            context.Response.Headers["OpenStack-image-import-methods"] = options.Value.Import.Methods;
        }

        if (stores.IsMultiple)
        {
            context.Response.Headers["OpenStack-image-store-ids"] =
                string.Join(',', stores.All.Select(store => store.Settings.Id));
        }

        await ImageJson.WriteAsync(context, StatusCodes.Status201Created, image);
    }

    private static async Task ShowAsync(HttpContext context, string id, ImageCommands commands)
    {
        var image = await commands.GetAsync(Caller.Of(context), id, context.RequestAborted);
        await ImageJson.WriteAsync(context, StatusCodes.Status200OK, image);
    }

    private static async Task PatchAsync(
        HttpContext context, string id, ImageCommands commands, LocationCommands locations,
        PropertyProtections protections, CustomProperties custom, IOptions<RegistryOptions> options)
    {
        var mediaType = context.Request.ContentType?.Split(';', 2)[0].Trim().ToLowerInvariant();
        if (!ImagePatch.IsMediaType(mediaType))
        {
            context.Response.Headers["Accept-Patch"] = $"{ImagePatch.MediaType21}, {ImagePatch.MediaType20}";
            throw new RegistryException(
                ErrorCode.UnsupportedMedia,
                $"Content type must be {ImagePatch.MediaType21} or {ImagePatch.MediaType20}.");
        }

        var limits = options.Value.Limits;
        using var body = await RequestBody.ReadJsonAsync(context);
        var patch = ImagePatch.Read(mediaType!, body.RootElement, limits.PatchOperations, custom);
        var caller = Caller.Of(context);
        var image = patch.Operations.Count == 0 ? await commands.GetAsync(caller, id, context.RequestAborted)
            : patch.Operations.Any(LocationEdits.IsAboutLocations)
            ? await locations.PatchAsync(caller, id, patch, context.TraceIdentifier, context.RequestAborted)
            : await commands.ChangeAsync(
                caller, id, i => ImageChanges.Apply(caller, i, patch, limits, protections), context.RequestAborted);
        await ImageJson.WriteAsync(context, StatusCodes.Status200OK, image);
    }

    private static async Task DeleteAsync(HttpContext context, string id, ImageCommands commands)
    {
        await commands.DeleteAsync(Caller.Of(context), id, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task DeactivateAsync(HttpContext context, string id, ImageCommands commands)
    {
        await commands.DeactivateAsync(Caller.Of(context), id, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ReactivateAsync(HttpContext context, string id, ImageCommands commands)
    {
        await commands.ReactivateAsync(Caller.Of(context), id, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
