using Microsoft.OpenApi;

namespace Registry.Api.Versions;

/// <summary>GET /registry/v1/openapi.json: the extension API as OpenAPI describes it, made of its routes.</summary>
/// <remarks>The Image API is OpenStack's, and described there.</remarks>
internal static class OpenApiDocument
{
    private const string Base = "registry/v1";

    /// <summary>Says what a route does.</summary>
    /// <param name="route">The route.</param>
    /// <param name="summary">A sentence.</param>
    /// <param name="query">Its query parameters, each as "name: what it is".</param>
    public static TBuilder Describe<TBuilder>(this TBuilder route, string summary, params string[] query)
        where TBuilder : IEndpointConventionBuilder =>
        route.WithSummary(summary).WithMetadata(new QueryNote(query));

    /// <summary>Registers the document.</summary>
    public static void AddOpenApiDocument(this IServiceCollection services) => services.AddOpenApi(options =>
    {
        options.ShouldInclude = route => route.RelativePath?.StartsWith(Base, StringComparison.Ordinal) == true;
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "Registry",
                Version = typeof(RegistryServer).Assembly.GetName().Version!.ToString(3),
                Description = "Disks, changes, jobs: what the OpenStack Image API has no words for. The gRPC services of " +
                    "protos/ offer the same, and streams.",
            };
            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            foreach (var note in context.Description.ActionDescriptor.EndpointMetadata.OfType<QueryNote>())
            {
                Describe(operation, note);
            }

            return Task.CompletedTask;
        });
    });

    /// <summary>Lists the route.</summary>
    public static void MapOpenApiDocument(this IEndpointRouteBuilder v1) => v1.MapOpenApi("/openapi.json");

    private static void Describe(OpenApiOperation operation, QueryNote note)
    {
        foreach (var text in note.Parameters)
        {
            var colon = text.IndexOf(':', StringComparison.Ordinal);
            var (name, description) = (text[..colon], text[(colon + 2)..]);
            var known = operation.Parameters?.OfType<OpenApiParameter>().FirstOrDefault(p => p.Name == name);
            if (known is not null)
            {
                known.Description = description;
                continue;
            }

            operation.Parameters ??= [];
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = name,
                In = ParameterLocation.Query,
                Description = description,
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            });
        }
    }

    /// <summary>What a route reads from its query by itself.</summary>
    private sealed record QueryNote(IReadOnlyList<string> Parameters);
}
