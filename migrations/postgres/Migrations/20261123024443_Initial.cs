using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Postgres.Migrations
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "images",
                columns: table => new
                {
                    id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    name = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    status = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    visibility = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    owner = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    disk_format = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    container_format = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    size = table.Column<long>(type: "bigint", nullable: true),
                    virtual_size = table.Column<long>(type: "bigint", nullable: true),
                    min_disk = table.Column<int>(type: "integer", nullable: false),
                    min_ram = table.Column<int>(type: "integer", nullable: false),
                    is_protected = table.Column<bool>(type: "boolean", nullable: false),
                    is_hidden = table.Column<bool>(type: "boolean", nullable: false),
                    checksum = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    os_hash_algo = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    os_hash_value = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    deleted_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    revision = table.Column<long>(type: "bigint", nullable: false),
                    generation = table.Column<long>(type: "bigint", nullable: false),
                    failure_code = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    failure_reason = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    container_format_key = table.Column<string>(type: "text", nullable: false, computedColumnSql: "coalesce(container_format, '')", stored: true, collation: "C"),
                    disk_format_key = table.Column<string>(type: "text", nullable: false, computedColumnSql: "coalesce(disk_format, '')", stored: true, collation: "C"),
                    name_key = table.Column<string>(type: "text", nullable: false, computedColumnSql: "coalesce(name, '')", stored: true, collation: "C"),
                    size_key = table.Column<long>(type: "bigint", nullable: false, computedColumnSql: "coalesce(size, 0)", stored: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_images", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "upload_intents",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    generation = table.Column<long>(type: "bigint", nullable: false),
                    store_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    owner = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    expires_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_upload_intents", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "image_locations",
                columns: table => new
                {
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    store_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    generation = table.Column<long>(type: "bigint", nullable: false),
                    data_length = table.Column<long>(type: "bigint", nullable: false),
                    index_length = table.Column<long>(type: "bigint", nullable: false),
                    index_digest = table.Column<byte[]>(type: "bytea", fixedLength: true, maxLength: 32, nullable: false),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_image_locations", x => new { x.image_id, x.store_id });
                    table.ForeignKey(
                        name: "fk_image_locations_images_image_id",
                        column: x => x.image_id,
                        principalTable: "images",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "image_members",
                columns: table => new
                {
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    member_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    status = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_image_members", x => new { x.image_id, x.member_id });
                    table.ForeignKey(
                        name: "fk_image_members_images_image_id",
                        column: x => x.image_id,
                        principalTable: "images",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "image_properties",
                columns: table => new
                {
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    name = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    value = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    value_key = table.Column<string>(type: "text", nullable: false, computedColumnSql: "substr(value, 1, 100)", stored: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_image_properties", x => new { x.image_id, x.name });
                    table.ForeignKey(
                        name: "fk_image_properties_images_image_id",
                        column: x => x.image_id,
                        principalTable: "images",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "image_tags",
                columns: table => new
                {
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    value = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_image_tags", x => new { x.image_id, x.value });
                    table.ForeignKey(
                        name: "fk_image_tags_images_image_id",
                        column: x => x.image_id,
                        principalTable: "images",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "ix_image_members_member_id_status_image_id",
                table: "image_members",
                columns: new[] { "member_id", "status", "image_id" });

            migrationBuilder.CreateIndex(
                name: "ix_image_properties_name_value_key_image_id",
                table: "image_properties",
                columns: new[] { "name", "value_key", "image_id" });

            migrationBuilder.CreateIndex(
                name: "ix_image_tags_value_image_id",
                table: "image_tags",
                columns: new[] { "value", "image_id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_checksum",
                table: "images",
                column: "checksum");

            migrationBuilder.CreateIndex(
                name: "ix_images_community",
                table: "images",
                columns: new[] { "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_container_format_key_created_at_id",
                table: "images",
                columns: new[] { "container_format_key", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_created_at_id",
                table: "images",
                columns: new[] { "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_disk_format_key_created_at_id",
                table: "images",
                columns: new[] { "disk_format_key", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_hidden",
                table: "images",
                columns: new[] { "created_at", "id" },
                filter: "is_hidden");

            migrationBuilder.CreateIndex(
                name: "ix_images_min_disk",
                table: "images",
                column: "min_disk");

            migrationBuilder.CreateIndex(
                name: "ix_images_min_ram",
                table: "images",
                column: "min_ram");

            migrationBuilder.CreateIndex(
                name: "ix_images_name_key_created_at_id",
                table: "images",
                columns: new[] { "name_key", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_os_hash_value",
                table: "images",
                column: "os_hash_value");

            migrationBuilder.CreateIndex(
                name: "ix_images_owner_created_at_id",
                table: "images",
                columns: new[] { "owner", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_protected",
                table: "images",
                columns: new[] { "created_at", "id" },
                filter: "is_protected");

            migrationBuilder.CreateIndex(
                name: "ix_images_public",
                table: "images",
                columns: new[] { "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_size_key_created_at_id",
                table: "images",
                columns: new[] { "size_key", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_status_created_at_id",
                table: "images",
                columns: new[] { "status", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_updated_at_created_at_id",
                table: "images",
                columns: new[] { "updated_at", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_virtual_size",
                table: "images",
                column: "virtual_size");

            migrationBuilder.CreateIndex(
                name: "ix_upload_intents_expires_at",
                table: "upload_intents",
                column: "expires_at");

            migrationBuilder.CreateIndex(
                name: "ix_upload_intents_image_id_generation",
                table: "upload_intents",
                columns: new[] { "image_id", "generation" },
                unique: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "image_locations");

            migrationBuilder.DropTable(
                name: "image_members");

            migrationBuilder.DropTable(
                name: "image_properties");

            migrationBuilder.DropTable(
                name: "image_tags");

            migrationBuilder.DropTable(
                name: "upload_intents");

            migrationBuilder.DropTable(
                name: "images");
        }
    }
}
