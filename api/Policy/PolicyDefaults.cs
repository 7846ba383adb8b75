namespace Registry.Api.Policy;

/// <summary>Glance's rules and their defaults (spec/glance-v2.md, 7). The names are the contract.</summary>
internal static class PolicyDefaults
{
    private const string OwnerReader = "role:admin or (role:reader and project_id:%(project_id)s)";
    private const string OwnerMember = "role:admin or (role:member and project_id:%(project_id)s)";
    private const string Admin = "role:admin";
    private const string ServiceOrAdmin = "rule:service_api or role:admin";

    private const string Seen =
        "project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or " +
        "'public':%(visibility)s or 'shared':%(visibility)s";

    private const string Metadefs =
        "role:admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))";

    /// <summary>Rule names and texts.</summary>
    public static IReadOnlyDictionary<string, string> Rules { get; } = new Dictionary<string, string>
    {
        ["default"] = "",
        ["context_is_admin"] = Admin,
        ["service_api"] = "role:service or service_roles:service", // itself, or on behalf of the caller

        ["add_image"] =
            "role:admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
        ["delete_image"] = OwnerMember,
        ["get_image"] = $"role:admin or (role:reader and ({Seen}))",
        ["get_images"] = OwnerReader,
        ["modify_image"] = OwnerMember,
        ["publicize_image"] = Admin,
        ["communitize_image"] = OwnerMember,
        ["download_image"] = $"role:admin or (role:member and ({Seen}))",
        ["download_from_store"] = $"role:admin or (role:member and ({Seen}))",
        ["upload_image"] = OwnerMember,
        ["delete_image_location"] = Admin,
        ["get_image_location"] = OwnerReader,
        ["set_image_location"] = OwnerMember,
        ["add_image_location"] = $"rule:service_api or {OwnerMember}",
        ["fetch_image_location"] = ServiceOrAdmin,
        ["add_member"] = OwnerMember,
        ["delete_member"] = OwnerMember,
        ["get_member"] = $"role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))",
        ["get_members"] = $"role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))",
        ["modify_member"] = "role:admin or (role:member and project_id:%(member_id)s)",
        ["manage_image_cache"] = Admin,
        ["deactivate"] = OwnerMember,
        ["reactivate"] = OwnerMember,
        ["copy_image"] = Admin,
        ["list_cached_nodes"] = Admin,

        ["get_task"] = "rule:default",
        ["get_tasks"] = "rule:default",
        ["add_task"] = "rule:default",
        ["modify_task"] = "rule:default",
        ["tasks_api_access"] = Admin,

        ["cache_image"] = Admin,
        ["cache_list"] = Admin,
        ["cache_delete"] = Admin,
        ["cache_clean"] = Admin,
        ["cache_prune"] = Admin,
        ["stores_info_detail"] = ServiceOrAdmin,

        ["metadef_default"] = "",
        ["metadef_admin"] = Admin,
        ["get_metadef_namespace"] = Metadefs,
        ["get_metadef_namespaces"] = Metadefs,
        ["modify_metadef_namespace"] = "rule:metadef_admin",
        ["add_metadef_namespace"] = "rule:metadef_admin",
        ["delete_metadef_namespace"] = "rule:metadef_admin",
        ["get_metadef_object"] = Metadefs,
        ["get_metadef_objects"] = Metadefs,
        ["modify_metadef_object"] = "rule:metadef_admin",
        ["add_metadef_object"] = "rule:metadef_admin",
        ["delete_metadef_object"] = "rule:metadef_admin",
        ["list_metadef_resource_types"] = Metadefs,
        ["get_metadef_resource_type"] = Metadefs,
        ["add_metadef_resource_type_association"] = "rule:metadef_admin",
        ["remove_metadef_resource_type_association"] = "rule:metadef_admin",
        ["get_metadef_property"] = Metadefs,
        ["get_metadef_properties"] = Metadefs,
        ["modify_metadef_property"] = "rule:metadef_admin",
        ["add_metadef_property"] = "rule:metadef_admin",
        ["remove_metadef_property"] = "rule:metadef_admin",
        ["get_metadef_tag"] = Metadefs,
        ["get_metadef_tags"] = Metadefs,
        ["modify_metadef_tag"] = "rule:metadef_admin",
        ["add_metadef_tag"] = "rule:metadef_admin",
        ["add_metadef_tags"] = "rule:metadef_admin",
        ["delete_metadef_tag"] = "rule:metadef_admin",
        ["delete_metadef_tags"] = "rule:metadef_admin",

        // Ours: what Glance has no rule for.
        ["cancel_job"] = OwnerMember,
        ["scrub"] = Admin,
        ["provision_to_target"] = Admin,
    };
}
