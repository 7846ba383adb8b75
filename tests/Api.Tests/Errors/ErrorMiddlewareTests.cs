using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Registry.Api.Errors;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Errors;

/// <summary>A failure after the first byte of an answer cuts the answer off; what follows the first byte is never an error
/// page.</summary>
public sealed class ErrorMiddlewareTests : IAsyncLifetime
{
    private const string Secret = "the failure";
    private WebApplication _app = null!;
    private HttpClient _http = null!;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.UseMiddleware<ErrorMiddleware>();
        _app.MapGet("/{way}", (HttpContext context, string way) => AnswerAsync(context, way));
        await _app.StartAsync(RegistryApp.Stop);
        _http = new HttpClient { BaseAddress = new Uri(_app.Urls.First()) };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _app.DisposeAsync();
    }

    [Theory]
    [InlineData("body")]
    [InlineData("body of a stated length")]
    [InlineData("writer not flushed")]
    [InlineData("writer flushed")]
    [InlineData("json flushed by its disposal")]
    [InlineData("json not disposed")]
    [InlineData("started without a byte")]
    [InlineData("refusal after a byte")]
    [InlineData("bad request after a byte")]
    public async Task A_failure_after_the_first_byte_cuts_the_answer_off(string way)
    {
        var received = "";
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            using var response = await _http.GetAsync(
                Uri.EscapeDataString(way), HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
            await using var body = await response.Content.ReadAsStreamAsync(RegistryApp.Stop);
            var buffer = new byte[4096];
            while (await body.ReadAsync(buffer, RegistryApp.Stop) is var read and > 0)
            {
                received += Encoding.UTF8.GetString(buffer, 0, read);
            }
        });
        Assert.DoesNotContain("failed", received, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, received, StringComparison.Ordinal);
        Assert.DoesNotContain("503", received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failure_before_the_first_byte_is_answered()
    {
        using var response = await _http.GetAsync("nothing", RegistryApp.Stop);
        Assert.Equal(503, (int)response.StatusCode);
        Assert.Contains(Secret, await response.Content.ReadAsStringAsync(RegistryApp.Stop), StringComparison.Ordinal);
    }

    private static async Task AnswerAsync(HttpContext context, string way)
    {
        var response = context.Response;
        var failure = new RegistryException(ErrorCode.Busy, Secret);
        switch (way)
        {
            case "body":
                await response.Body.WriteAsync("half"u8.ToArray());
                break;
            case "body of a stated length":
                response.ContentLength = 100_000;
                await response.Body.WriteAsync("half"u8.ToArray());
                break;
            case "writer not flushed":
                response.BodyWriter.GetSpan(4).Clear();
                response.BodyWriter.Advance(4);
                break;
            case "writer flushed":
                await response.BodyWriter.WriteAsync("half"u8.ToArray());
                break;
            case "json flushed by its disposal":
                await using (var json = new Utf8JsonWriter(response.BodyWriter))
                {
                    json.WriteStartObject();
                    throw failure;
                }

            case "json not disposed":
                var open = new Utf8JsonWriter(response.BodyWriter);
                open.WriteStartObject();
                open.Flush();
                break;
            case "started without a byte":
                await response.StartAsync();
                break;
            case "refusal after a byte":
                await response.Body.WriteAsync("half"u8.ToArray());
                throw new InvalidOperationException(Secret);
            case "bad request after a byte":
                await response.Body.WriteAsync("half"u8.ToArray());
                throw new BadHttpRequestException(Secret, 400);
        }

        throw failure;
    }
}
