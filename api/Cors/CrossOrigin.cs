namespace Registry.Api.Cors;

/// <summary>Lets web pages of other origins call the HTTP API (spec/glance-v2.md, 1.2), where the operator names
/// them.</summary>
internal static class CrossOrigin
{
    private static readonly string[] Methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

    private static readonly string[] RequestHeaders =
    [
        "Content-MD5", "X-Image-Meta-Checksum", "X-Storage-Token", "Accept-Encoding", "X-Auth-Token",
        "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id", "X-Tenant-Id", "X-OpenStack-Request-ID",
        "Content-Type", "Range", "X-Image-Meta-Store", "x-openstack-image-size",
    ];

    private static readonly string[] ExposedHeaders =
    [
        "X-Image-Meta-Checksum", "X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID",
        "Location", "OpenStack-image-import-methods", "OpenStack-image-store-ids", Errors.ErrorBody.ReasonHeader,
    ];

    /// <summary>Adds what decides.</summary>
    public static void Add(IServiceCollection services, CorsSection section) =>
        services.AddCors(cors => cors.AddDefaultPolicy(policy =>
        {
            policy.WithMethods(Methods).WithHeaders(RequestHeaders).WithExposedHeaders(ExposedHeaders)
                .SetPreflightMaxAge(section.MaxAge);
            if (section.AllowsAll)
            {
                policy.AllowAnyOrigin();
            }
            else
            {
                policy.WithOrigins([.. section.AllowedOrigins.Select(origin => origin.TrimEnd('/'))]);
            }
        }));
}
