namespace Registry.Api.Tests.Auth;

/// <summary>A request whose answer depends on the policy.</summary>
/// <param name="Route">Method and path; <c>ID</c> is an image, <c>NS</c> a namespace of metadata definitions, <c>UNIQUE</c>
/// a text that no other request has.</param>
/// <param name="Body">The body; null for none.</param>
internal sealed record PolicyRow(string Route, string? Body = null)
{
    /// <summary>Kinds of images or namespaces, each a row of its own.</summary>
    public string[] Kinds { get; init; } = ["-"];

    /// <summary>Whether the image has bytes.</summary>
    public bool HasData { get; init; }

    /// <summary>Whether the image or namespace is another one once a request has succeeded.</summary>
    public bool IsSpent { get; init; }

    /// <summary>The member of the answer whose entries are counted; null for the status alone.</summary>
    public string? Counted { get; init; }

    /// <summary>The request's method.</summary>
    public HttpMethod Method => new(Route[..Route.IndexOf(' ', StringComparison.Ordinal)]);

    /// <summary>The request's path.</summary>
    public string Path => Route[(Route.IndexOf(' ', StringComparison.Ordinal) + 1)..];

    /// <summary>The requests.</summary>
    public static IReadOnlyList<PolicyRow> All { get; } =
    [
        new("GET /v2/images?tag=kept") { Counted = "images" },
        new("GET /v2/images?tag=kept&visibility=community") { Counted = "images" },
        new("POST /v2/images", """{"visibility":"KIND"}""") { Kinds = Images },
        new("GET /v2/images/ID") { Kinds = Images, HasData = true },
        new("GET /v2/images/ID/file") { Kinds = Images, HasData = true },
        new("GET /v2/images/ID/tasks") { Kinds = Images, HasData = true },
        new("GET /v2/images/ID/members") { Kinds = Images, HasData = true, Counted = "members" },
        new("GET /v2/images/ID/members/member-project") { Kinds = Images, HasData = true },
        new("POST /v2/images/ID/members", """{"member":"UNIQUE"}""") { Kinds = Images, HasData = true },
        new("PUT /v2/images/ID/members/member-project", """{"status":"accepted"}""") { Kinds = Images, HasData = true },
        new("DELETE /v2/images/ID/members/member-project") { Kinds = ["shared"], IsSpent = true },
        new("PATCH /v2/images/ID", """[{"op":"replace","path":"/name","value":"x"}]""") { Kinds = Images, HasData = true },
        new("PATCH /v2/images/ID", """[{"op":"replace","path":"/visibility","value":"public"}]""")
        {
            Kinds = ["private", "shared"], IsSpent = true,
        },
        new("PUT /v2/images/ID/tags/UNIQUE") { Kinds = Images, HasData = true },
        new("DELETE /v2/images/ID/tags/spent") { Kinds = Few, IsSpent = true },
        new("POST /v2/images/ID/actions/deactivate") { Kinds = Images, HasData = true },
        new("POST /v2/images/ID/actions/reactivate") { Kinds = Images, HasData = true },
        new("PUT /v2/images/ID/file", "content") { Kinds = Few, IsSpent = true },
        new("PUT /v2/images/ID/stage", "content") { Kinds = Few, IsSpent = true },
        new("POST /v2/images/ID/import", """{"method":{"name":"web-download","uri":"http://127.0.0.1:80/x"}}""")
        {
            Kinds = Few, IsSpent = true,
        },
        new("DELETE /v2/stores/fast/ID") { Kinds = Images },
        new("DELETE /v2/images/ID") { Kinds = Few, IsSpent = true },
        new("GET /v2/info/stores/detail"),
        new("GET /v2/tasks"),
        new("GET /v2/metadefs/namespaces?limit=1000") { Counted = "namespaces" },
        new("GET /v2/metadefs/resource_types"),
        new("POST /v2/metadefs/namespaces", """{"namespace":"UNIQUE"}"""),
        new("GET /v2/metadefs/namespaces/NS") { Kinds = Namespaces },
        new("GET /v2/metadefs/namespaces/NS/objects") { Kinds = Namespaces, Counted = "objects" },
        new("GET /v2/metadefs/namespaces/NS/objects/o") { Kinds = Namespaces },
        new("GET /v2/metadefs/namespaces/NS/properties") { Kinds = Namespaces, Counted = "properties" },
        new("GET /v2/metadefs/namespaces/NS/properties/p") { Kinds = Namespaces },
        new("GET /v2/metadefs/namespaces/NS/tags") { Kinds = Namespaces, Counted = "tags" },
        new("GET /v2/metadefs/namespaces/NS/tags/t") { Kinds = Namespaces },
        new("GET /v2/metadefs/namespaces/NS/resource_types")
        {
            Kinds = Namespaces, Counted = "resource_type_associations",
        },
        new("PUT /v2/metadefs/namespaces/NS", """{"namespace":"NS","visibility":"KIND","owner":"owner-project"}""")
        {
            Kinds = Namespaces,
        },
        new("PUT /v2/metadefs/namespaces/NS/objects/o", """{"name":"o"}""") { Kinds = Namespaces },
        new("PUT /v2/metadefs/namespaces/NS/tags/t", """{"name":"t"}""") { Kinds = Namespaces },
        new("POST /v2/metadefs/namespaces/NS/objects", """{"name":"UNIQUE"}""") { Kinds = Namespaces, IsSpent = true },
        new("POST /v2/metadefs/namespaces/NS/properties", """{"name":"UNIQUE","title":"x","type":"string"}""")
        {
            Kinds = Namespaces, IsSpent = true,
        },
        new("POST /v2/metadefs/namespaces/NS/tags/UNIQUE") { Kinds = Namespaces, IsSpent = true },
        new("POST /v2/metadefs/namespaces/NS/resource_types", """{"name":"UNIQUE"}""") { Kinds = Namespaces, IsSpent = true },
        new("DELETE /v2/metadefs/namespaces/NS/objects/o") { Kinds = Namespaces, IsSpent = true },
        new("DELETE /v2/metadefs/namespaces/NS/tags") { Kinds = Namespaces, IsSpent = true },
        new("DELETE /v2/metadefs/namespaces/NS") { Kinds = Namespaces, IsSpent = true },
    ];

    private static string[] Images => ["private", "shared", "community", "public"];

    private static string[] Few => ["private", "shared", "public"];

    private static string[] Namespaces => ["private", "public"];
}
