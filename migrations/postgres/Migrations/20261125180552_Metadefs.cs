using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Postgres.Migrations
{
    /// <inheritdoc />
    public partial class Metadefs : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "metadef_namespaces",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    display_name = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    description = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    is_public = table.Column<bool>(type: "boolean", nullable: false),
                    is_protected = table.Column<bool>(type: "boolean", nullable: false),
                    owner = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    version = table.Column<Guid>(type: "uuid", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_namespaces", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "metadef_resource_types",
                columns: table => new
                {
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_resource_types", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "metadef_objects",
                columns: table => new
                {
                    namespace_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    description = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    required = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    properties = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_objects", x => new { x.namespace_id, x.name });
                    table.ForeignKey(
                        name: "fk_metadef_objects_metadef_namespaces_namespace_id",
                        column: x => x.namespace_id,
                        principalTable: "metadef_namespaces",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "metadef_properties",
                columns: table => new
                {
                    namespace_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    schema = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_properties", x => new { x.namespace_id, x.name });
                    table.ForeignKey(
                        name: "fk_metadef_properties_metadef_namespaces_namespace_id",
                        column: x => x.namespace_id,
                        principalTable: "metadef_namespaces",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "metadef_tags",
                columns: table => new
                {
                    namespace_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name_key = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_tags", x => new { x.namespace_id, x.name_key });
                    table.ForeignKey(
                        name: "fk_metadef_tags_metadef_namespaces_namespace_id",
                        column: x => x.namespace_id,
                        principalTable: "metadef_namespaces",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "metadef_associations",
                columns: table => new
                {
                    namespace_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    prefix = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    properties_target = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_metadef_associations", x => new { x.namespace_id, x.name });
                    table.ForeignKey(
                        name: "fk_metadef_associations_metadef_namespaces_namespace_id",
                        column: x => x.namespace_id,
                        principalTable: "metadef_namespaces",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                    table.ForeignKey(
                        name: "fk_metadef_associations_metadef_resource_types_name",
                        column: x => x.name,
                        principalTable: "metadef_resource_types",
                        principalColumn: "name",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "ix_metadef_associations_name_namespace_id",
                table: "metadef_associations",
                columns: new[] { "name", "namespace_id" });

            migrationBuilder.CreateIndex(
                name: "ix_metadef_namespaces_created_at_name",
                table: "metadef_namespaces",
                columns: new[] { "created_at", "name" });

            migrationBuilder.CreateIndex(
                name: "ix_metadef_namespaces_name",
                table: "metadef_namespaces",
                column: "name",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "ix_metadef_namespaces_updated_at_name",
                table: "metadef_namespaces",
                columns: new[] { "updated_at", "name" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "metadef_associations");

            migrationBuilder.DropTable(
                name: "metadef_objects");

            migrationBuilder.DropTable(
                name: "metadef_properties");

            migrationBuilder.DropTable(
                name: "metadef_tags");

            migrationBuilder.DropTable(
                name: "metadef_resource_types");

            migrationBuilder.DropTable(
                name: "metadef_namespaces");
        }
    }
}
