using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Postgres.Migrations
{
    /// <inheritdoc />
    public partial class Shares : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            // A number that has become negative by a fault counts as none; the tables would not take it.
            migrationBuilder.Sql("update upload_intents set generation = 0 where generation < 0;");
            migrationBuilder.Sql("update upload_intents set reserved_bytes = 0 where reserved_bytes < 0;");
            migrationBuilder.Sql("update staged_blobs set data_length = 0 where data_length < 0;");
            migrationBuilder.Sql("update staged_blobs set disk_bytes = 0 where disk_bytes < 0;");
            migrationBuilder.Sql("update staged_blobs set generation = 0 where generation < 0;");
            migrationBuilder.Sql("update staged_blobs set index_length = 0 where index_length < 0;");
            migrationBuilder.Sql("update jobs set attempt = 0 where attempt < 0;");
            migrationBuilder.Sql("update jobs set attempts_max = 0 where attempts_max < 0;");
            migrationBuilder.Sql("update jobs set done = 0 where done < 0;");
            migrationBuilder.Sql("update jobs set total = 0 where total < 0;");
            migrationBuilder.Sql("update images set generation = 0 where generation < 0;");
            migrationBuilder.Sql("update images set min_disk = 0 where min_disk < 0;");
            migrationBuilder.Sql("update images set min_ram = 0 where min_ram < 0;");
            migrationBuilder.Sql("update images set revision = 0 where revision < 0;");
            migrationBuilder.Sql("update images set size = 0 where size < 0;");
            migrationBuilder.Sql("update images set virtual_size = 0 where virtual_size < 0;");
            migrationBuilder.Sql("update image_locations set data_length = 0 where data_length < 0;");
            migrationBuilder.Sql("update image_locations set generation = 0 where generation < 0;");
            migrationBuilder.Sql("update image_locations set index_length = 0 where index_length < 0;");
            migrationBuilder.Sql("update events set failures = 0 where failures < 0;");
            migrationBuilder.Sql("update events set number = 0 where number < 0;");

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "claimed_at",
                table: "jobs",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.AddCheckConstraint(
                name: "ck_upload_intents_generation",
                table: "upload_intents",
                sql: "generation >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_upload_intents_reserved_bytes",
                table: "upload_intents",
                sql: "reserved_bytes >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_staged_blobs_data_length",
                table: "staged_blobs",
                sql: "data_length >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_staged_blobs_disk_bytes",
                table: "staged_blobs",
                sql: "disk_bytes >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_staged_blobs_generation",
                table: "staged_blobs",
                sql: "generation >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_staged_blobs_index_length",
                table: "staged_blobs",
                sql: "index_length >= 0");

            migrationBuilder.CreateIndex(
                name: "ix_jobs_owner_claimed_at",
                table: "jobs",
                columns: new[] { "owner", "claimed_at" });

            migrationBuilder.AddCheckConstraint(
                name: "ck_jobs_attempt",
                table: "jobs",
                sql: "attempt >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_jobs_attempts_max",
                table: "jobs",
                sql: "attempts_max >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_jobs_done",
                table: "jobs",
                sql: "done >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_jobs_total",
                table: "jobs",
                sql: "total >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_generation",
                table: "images",
                sql: "generation >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_min_disk",
                table: "images",
                sql: "min_disk >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_min_ram",
                table: "images",
                sql: "min_ram >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_revision",
                table: "images",
                sql: "revision >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_size",
                table: "images",
                sql: "size >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_images_virtual_size",
                table: "images",
                sql: "virtual_size >= 0");

            migrationBuilder.CreateIndex(
                name: "ix_image_locations_store_id_damaged_at",
                table: "image_locations",
                columns: new[] { "store_id", "damaged_at" },
                filter: "damaged_at is not null");

            migrationBuilder.AddCheckConstraint(
                name: "ck_image_locations_data_length",
                table: "image_locations",
                sql: "data_length >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_image_locations_generation",
                table: "image_locations",
                sql: "generation >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_image_locations_index_length",
                table: "image_locations",
                sql: "index_length >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_events_failures",
                table: "events",
                sql: "failures >= 0");

            migrationBuilder.AddCheckConstraint(
                name: "ck_events_number",
                table: "events",
                sql: "number >= 0");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropCheckConstraint(
                name: "ck_upload_intents_generation",
                table: "upload_intents");

            migrationBuilder.DropCheckConstraint(
                name: "ck_upload_intents_reserved_bytes",
                table: "upload_intents");

            migrationBuilder.DropCheckConstraint(
                name: "ck_staged_blobs_data_length",
                table: "staged_blobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_staged_blobs_disk_bytes",
                table: "staged_blobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_staged_blobs_generation",
                table: "staged_blobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_staged_blobs_index_length",
                table: "staged_blobs");

            migrationBuilder.DropIndex(
                name: "ix_jobs_owner_claimed_at",
                table: "jobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_jobs_attempt",
                table: "jobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_jobs_attempts_max",
                table: "jobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_jobs_done",
                table: "jobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_jobs_total",
                table: "jobs");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_generation",
                table: "images");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_min_disk",
                table: "images");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_min_ram",
                table: "images");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_revision",
                table: "images");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_size",
                table: "images");

            migrationBuilder.DropCheckConstraint(
                name: "ck_images_virtual_size",
                table: "images");

            migrationBuilder.DropIndex(
                name: "ix_image_locations_store_id_damaged_at",
                table: "image_locations");

            migrationBuilder.DropCheckConstraint(
                name: "ck_image_locations_data_length",
                table: "image_locations");

            migrationBuilder.DropCheckConstraint(
                name: "ck_image_locations_generation",
                table: "image_locations");

            migrationBuilder.DropCheckConstraint(
                name: "ck_image_locations_index_length",
                table: "image_locations");

            migrationBuilder.DropCheckConstraint(
                name: "ck_events_failures",
                table: "events");

            migrationBuilder.DropCheckConstraint(
                name: "ck_events_number",
                table: "events");

            migrationBuilder.DropColumn(
                name: "claimed_at",
                table: "jobs");
        }
    }
}
