using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Registry.Migrations.Sqlite.Migrations
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
                    image_id = table.Column<string>(type: "TEXT", nullable: false),
                    generation = table.Column<long>(type: "INTEGER", nullable: false),
                    store_id = table.Column<string>(type: "TEXT", nullable: false),
                    data_length = table.Column<long>(type: "INTEGER", nullable: false),
                    index_length = table.Column<long>(type: "INTEGER", nullable: false),
                    index_digest = table.Column<byte[]>(type: "BLOB", fixedLength: true, maxLength: 32, nullable: false),
                    checksum = table.Column<string>(type: "TEXT", nullable: false),
                    hash_algorithm = table.Column<string>(type: "TEXT", nullable: false),
                    hash_value = table.Column<string>(type: "TEXT", nullable: false),
                    disk_bytes = table.Column<long>(type: "INTEGER", nullable: true),
                    form = table.Column<string>(type: "TEXT", nullable: false),
                    inspection = table.Column<string>(type: "TEXT", nullable: false)
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
