using Registry.Storage.Domain;

namespace Registry.Api.Errors;

/// <summary>Turns what a request threw into the answer, once and in one place.</summary>
public sealed partial class ErrorMiddleware(RequestDelegate next, ILogger<ErrorMiddleware> logger)
{
    /// <summary>Runs the middleware.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (Exception e) when (
            context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            Log.ClientGone(logger, context.Request.Method, context.Request.Path);
        }
        catch (Exception e) when (HasBegun(context.Response))
        {
            // The status line is out: all that is left is to let the client see that the body is not whole.
            Log.Aborted(logger, context.Request.Path, e);
            context.Abort();
        }
        catch (BadHttpRequestException e)
        {
            await ErrorBody.WriteAsync(context, e.StatusCode, e.Message);
        }
        catch (Exception e)
        {
            var refusal = Refusals.From(e);
            if (refusal is null)
            {
                Log.Unhandled(logger, context.Request.Method, context.Request.Path, e);
                await ErrorBody.WriteAsync(
                    context, StatusCodes.Status500InternalServerError,
                    $"The server failed on this request; its log has the cause under {context.TraceIdentifier}.");
                return;
            }

            var entry = ErrorCatalog.Entry(refusal.Code);
            Log.Refused(
                logger, context.Request.Method, context.Request.Path, entry.HttpStatus, refusal.Reason ?? entry.Name);
            await ErrorBody.WriteAsync(context, entry.HttpStatus, refusal.Message, refusal.Reason ?? entry.Name);
        }
    }

    // What is written but not flushed yet would become the beginning of the error's body.
    private static bool HasBegun(HttpResponse response) =>
        response.HasStarted || (response.BodyWriter.CanGetUnflushedBytes && response.BodyWriter.UnflushedBytes > 0);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "{Method} {Path}: the client went away")]
        public static partial void ClientGone(ILogger logger, string method, string path);

        [LoggerMessage(2, LogLevel.Error, "{Path}: transfer aborted")]
        public static partial void Aborted(ILogger logger, string path, Exception exception);

        [LoggerMessage(3, LogLevel.Error, "{Method} {Path} failed")]
        public static partial void Unhandled(ILogger logger, string method, string path, Exception exception);

        [LoggerMessage(4, LogLevel.Information, "{Method} {Path}: {Status} {Reason}")]
        public static partial void Refused(ILogger logger, string method, string path, int status, string reason);
    }
}
