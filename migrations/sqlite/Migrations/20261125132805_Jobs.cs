using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Sqlite.Migrations
{
    /// <inheritdoc />
    public partial class Jobs : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_upload_intents_image_id_generation",
                table: "upload_intents");

            migrationBuilder.AddColumn<long>(
                name: "damaged_at",
                table: "image_locations",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "jobs",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    kind = table.Column<string>(type: "TEXT", nullable: false),
                    image_id = table.Column<string>(type: "TEXT", nullable: true),
                    owner = table.Column<string>(type: "TEXT", nullable: true),
                    user_id = table.Column<string>(type: "TEXT", nullable: true),
                    request_id = table.Column<string>(type: "TEXT", nullable: true),
                    input = table.Column<string>(type: "TEXT", nullable: false),
                    status = table.Column<string>(type: "TEXT", nullable: false),
                    result = table.Column<string>(type: "TEXT", nullable: true),
                    step = table.Column<string>(type: "TEXT", nullable: true),
                    done = table.Column<long>(type: "INTEGER", nullable: false),
                    total = table.Column<long>(type: "INTEGER", nullable: true),
                    failure_code = table.Column<string>(type: "TEXT", nullable: true),
                    message = table.Column<string>(type: "TEXT", nullable: true),
                    unique_key = table.Column<string>(type: "TEXT", nullable: true),
                    run_after = table.Column<long>(type: "INTEGER", nullable: false),
                    lease_owner = table.Column<string>(type: "TEXT", nullable: true),
                    lease_until = table.Column<long>(type: "INTEGER", nullable: true),
                    attempt = table.Column<int>(type: "INTEGER", nullable: false),
                    attempts_max = table.Column<int>(type: "INTEGER", nullable: false),
                    is_cancel_requested = table.Column<bool>(type: "INTEGER", nullable: false),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    updated_at = table.Column<long>(type: "INTEGER", nullable: false),
                    ended_at = table.Column<long>(type: "INTEGER", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_jobs", x => x.id);
                });

            migrationBuilder.CreateIndex(
                name: "ix_upload_intents_image_id_generation_store_id",
                table: "upload_intents",
                columns: new[] { "image_id", "generation", "store_id" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "ix_image_locations_store_id_image_id",
                table: "image_locations",
                columns: new[] { "store_id", "image_id" });

            migrationBuilder.CreateIndex(
                name: "ix_jobs_ended_at",
                table: "jobs",
                column: "ended_at");

            migrationBuilder.CreateIndex(
                name: "ix_jobs_image_id_id",
                table: "jobs",
                columns: new[] { "image_id", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_jobs_owner_id",
                table: "jobs",
                columns: new[] { "owner", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_jobs_run_after_id",
                table: "jobs",
                columns: new[] { "run_after", "id" },
                filter: "ended_at is null");

            migrationBuilder.CreateIndex(
                name: "ix_jobs_unique_key",
                table: "jobs",
                column: "unique_key",
                unique: true,
                filter: "ended_at is null");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "jobs");

            migrationBuilder.DropIndex(
                name: "ix_upload_intents_image_id_generation_store_id",
                table: "upload_intents");

            migrationBuilder.DropIndex(
                name: "ix_image_locations_store_id_image_id",
                table: "image_locations");

            migrationBuilder.DropColumn(
                name: "damaged_at",
                table: "image_locations");

            migrationBuilder.CreateIndex(
                name: "ix_upload_intents_image_id_generation",
                table: "upload_intents",
                columns: new[] { "image_id", "generation" },
                unique: true);
        }
    }
}
