using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Postgres.Migrations
{
    /// <inheritdoc />
    public partial class Staging : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "staged_blobs",
                columns: table => new
                {
                    image_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    generation = table.Column<long>(type: "bigint", nullable: false),
                    store_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    data_length = table.Column<long>(type: "bigint", nullable: false),
                    index_length = table.Column<long>(type: "bigint", nullable: false),
                    index_digest = table.Column<byte[]>(type: "bytea", fixedLength: true, maxLength: 32, nullable: false),
                    checksum = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    hash_algorithm = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    hash_value = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    disk_bytes = table.Column<long>(type: "bigint", nullable: true),
                    form = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    inspection = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_staged_blobs", x => x.image_id);
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "staged_blobs");
        }
    }
}
