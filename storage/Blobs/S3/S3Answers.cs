using System.Net.Http.Headers;
using System.Text;
using System.Xml;
using System.Xml.Linq;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>Checks the XML answers of a store and puts their elements into Amazon's namespace, the only one that the
/// client library reads: in any other it would find no elements, and an empty list would be believed.</summary>
/// <remarks>Stores use Amazon's namespace, one of their own or none; the names of the elements are the same everywhere.
/// An answer with another root element, or with entries that lack a part, fails the request.</remarks>
internal sealed class S3Answers(HttpMessageHandler inner) : DelegatingHandler(inner)
{
    private const int BytesMax = 8 << 20;
    private const string Listing = "ListBucketResult";
    private const string Removal = "DeleteResult";
    private static readonly XNamespace Amazon = "http://s3.amazonaws.com/doc/2006-03-01/";
    private static readonly string[] EntryParts = ["Key", "Size", "LastModified"];
    private static readonly XmlReaderSettings Strict = new()
    {
        Async = true,
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
    };

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode || RootOf(request) is not { } root)
        {
            return response;
        }

        try
        {
            await response.Content.LoadIntoBufferAsync(BytesMax, cancellationToken).ConfigureAwait(false);
            var answer = await ReadAsync(response.Content, root, cancellationToken).ConfigureAwait(false);
            if (root == Listing)
            {
                RequireWhole(answer.Root!);
            }

            Replace(response, answer);
            return response;
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    private static string? RootOf(HttpRequestMessage request)
    {
        var query = request.RequestUri!.Query;
        return request.Method == HttpMethod.Get && query.Contains("list-type=", StringComparison.Ordinal) ? Listing
            : request.Method == HttpMethod.Post && query.StartsWith("?delete", StringComparison.Ordinal) ? Removal
            : null;
    }

    private static async Task<XDocument> ReadAsync(
        HttpContent content, string root, CancellationToken cancellationToken)
    {
        XDocument answer;
        try
        {
            var body = await content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            using var xml = XmlReader.Create(body, Strict);
            answer = await XDocument.LoadAsync(xml, LoadOptions.None, cancellationToken).ConfigureAwait(false);
        }
        catch (XmlException)
        {
            throw NotUnderstood($"is not an XML document with the element {root}");
        }

        foreach (var element in answer.Descendants())
        {
            element.Name = Amazon + element.Name.LocalName;
            element.Attributes().Where(attribute => attribute.IsNamespaceDeclaration).Remove();
        }

        return answer.Root!.Name == Amazon + root ? answer : throw NotUnderstood($"has no element {root}");
    }

    private static void RequireWhole(XElement listing)
    {
        var entries = 0;
        foreach (var entry in listing.Elements(Amazon + "Contents"))
        {
            entries++;
            if (EntryParts.Any(part => entry.Element(Amazon + part) is null))
            {
                throw NotUnderstood("lists an object without name, length or time");
            }
        }

        // A store may count prefixes as well; more names than entries means that some were not understood.
        entries += listing.Elements(Amazon + "CommonPrefixes").Count();
        if ((int.TryParse(listing.Element(Amazon + "KeyCount")?.Value, out var count) && count > entries)
            || (listing.Element(Amazon + "IsTruncated")?.Value.Trim() is "true" or "True"
                && string.IsNullOrEmpty(listing.Element(Amazon + "NextContinuationToken")?.Value)))
        {
            throw NotUnderstood("leaves out objects that it counts, or does not say where it continues");
        }
    }

    private static void Replace(HttpResponseMessage response, XDocument answer)
    {
        var content = new ByteArrayContent(Encoding.UTF8.GetBytes(answer.ToString(SaveOptions.DisableFormatting)));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/xml");
        response.Content.Dispose();
        response.Content = content;
    }

    private static GarbledAnswerException NotUnderstood(string why) => new($"sent an answer that {why}");
}
