using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Postgres.Migrations
{
    /// <inheritdoc />
    public partial class ListOrders : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateIndex(
                name: "ix_images_community_container_format_key",
                table: "images",
                columns: new[] { "container_format_key", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_disk_format_key",
                table: "images",
                columns: new[] { "disk_format_key", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_id",
                table: "images",
                column: "id",
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_name_key",
                table: "images",
                columns: new[] { "name_key", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_size_key",
                table: "images",
                columns: new[] { "size_key", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_status",
                table: "images",
                columns: new[] { "status", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_community_updated_at",
                table: "images",
                columns: new[] { "updated_at", "created_at", "id" },
                filter: "visibility = 'community'");

            migrationBuilder.CreateIndex(
                name: "ix_images_owner_name_key_created_at_id",
                table: "images",
                columns: new[] { "owner", "name_key", "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_images_public_container_format_key",
                table: "images",
                columns: new[] { "container_format_key", "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_disk_format_key",
                table: "images",
                columns: new[] { "disk_format_key", "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_id",
                table: "images",
                column: "id",
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_name_key",
                table: "images",
                columns: new[] { "name_key", "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_size_key",
                table: "images",
                columns: new[] { "size_key", "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_status",
                table: "images",
                columns: new[] { "status", "created_at", "id" },
                filter: "visibility = 'public'");

            migrationBuilder.CreateIndex(
                name: "ix_images_public_updated_at",
                table: "images",
                columns: new[] { "updated_at", "created_at", "id" },
                filter: "visibility = 'public'");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_images_community_container_format_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_disk_format_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_id",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_name_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_size_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_status",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_community_updated_at",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_owner_name_key_created_at_id",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_container_format_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_disk_format_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_id",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_name_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_size_key",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_status",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_images_public_updated_at",
                table: "images");
        }
    }
}
