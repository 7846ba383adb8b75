using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Api.ImageData;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Grpc;

/// <summary>Numbers that clients send over gRPC: none is negative, and none costs more than it should.</summary>
public sealed class GrpcNumberTests(GrpcNumberTests.LimitedApp app) : IClassFixture<GrpcNumberTests.LimitedApp>
{
    private const long QuotaBytes = 8 << 20;

    // Hashing a TiB takes most of an hour.
    private static readonly TimeSpan Refused = TimeSpan.FromMinutes(1);

    private Protos.V1.Images.ImagesClient Images => new(app.Grpc);

    /// <summary>Every number of every request, found in the descriptors.</summary>
    public static TheoryData<string, string> Numbers()
    {
        var data = new TheoryData<string, string>();
        foreach (var message in Requests())
        {
            foreach (var (_, path) in NumbersOf(message))
            {
                data.Add(message.FullName, path);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Numbers))]
    public void A_negative_number_is_refused_in_every_request(string message, string path)
    {
        var descriptor = Requests().Single(request => request.FullName == message);
        var fields = NumbersOf(descriptor).Single(number => number.Path == path).Fields;
        foreach (var value in (long[])[-1, int.MinValue])
        {
            var refused = Assert.Throws<RegistryException>(
                () => GrpcFields.Require(With(descriptor, fields, value)));
            Assert.Equal((ErrorCode.BadRequest, "negative_number"), (refused.Code, refused.Reason));
        }

        GrpcFields.Require(With(descriptor, fields, 0));
        GrpcFields.Require(With(descriptor, fields, int.MaxValue));
    }

    [Fact]
    public void There_are_requests_with_numbers()
    {
        Assert.Contains("registry.v1.UploadRequest: start.size", Names());
        Assert.Contains("registry.v1.UploadRequest: zeros", Names());
        Assert.Contains("registry.v1.ProvisionImageRequest: size", Names());
        Assert.True(Names().Count >= 12, string.Join(", ", Names()));
    }

    [Fact]
    public async Task An_upload_of_a_negative_size_gives_no_credit()
    {
        var id = await app.CreateAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(
            new UploadRequest { Start = new UploadStart { Id = id, Size = -(1L << 40) } },
            new UploadRequest { Data = ByteString.CopyFrom(1) }));
        Assert.Equal((StatusCode.InvalidArgument, "negative_number"), Reason(refused));

        var over = await app.CreateAsync();
        using var response = await app.PutAsync(over, new byte[QuotaBytes + 1]);
        Assert.Equal(413, (int)response.StatusCode);
    }

    [Theory]
    [InlineData(1L << 40)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue, long.MaxValue)]
    [InlineData(ZeroBudget.FreeBytes, 1L)]
    public async Task Zeroes_that_nothing_was_sent_for_are_refused_before_they_are_worked_on(params long[] zeros)
    {
        var id = await app.CreateAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(
            [new UploadRequest { Start = new UploadStart { Id = id } }, .. zeros.Select(n => new UploadRequest { Zeros = n })]).WaitAsync(Refused, RegistryApp.Stop));
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Zeroes_beyond_the_stated_size_are_refused_before_they_are_worked_on()
    {
        var id = await app.CreateAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(
            new UploadRequest { Start = new UploadStart { Id = id, Size = 10 } }, new UploadRequest { Zeros = 200 << 20 }));
        Assert.Equal((StatusCode.InvalidArgument, "size_mismatch"), Reason(refused));
    }

    [Fact]
    public async Task Zeroes_count_against_the_quota()
    {
        var id = await app.CreateAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(
            new UploadRequest { Start = new UploadStart { Id = id } }, new UploadRequest { Zeros = QuotaBytes + 1 }));
        Assert.Equal((StatusCode.ResourceExhausted, ""), Reason(refused));
    }

    [Fact]
    public void The_budget_of_zeroes_grows_with_the_data()
    {
        var budget = new ZeroBudget();
        Assert.False(budget.TryTake(ZeroBudget.FreeBytes + 1));
        Assert.True(budget.TryTake(ZeroBudget.FreeBytes));
        Assert.False(budget.TryTake(1));
        budget.AddData(3);
        Assert.True(budget.TryTake(3 * ZeroBudget.PerByte));
        Assert.False(budget.TryTake(1));
        budget.AddData(long.MaxValue);
        Assert.True(budget.TryTake(1L << 60));
    }

    private async Task<Protos.V1.Image> UploadAsync(params UploadRequest[] messages)
    {
        using var upload = Images.Upload(cancellationToken: RegistryApp.Stop);
        try
        {
            foreach (var message in messages)
            {
                await upload.RequestStream.WriteAsync(message, RegistryApp.Stop);
            }

            await upload.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // Refused already; the answer says why.
        }

        return await upload.ResponseAsync;
    }

    private static (StatusCode Status, string Reason) Reason(RpcException refused) => (
        refused.StatusCode,
        ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes(GrpcErrors.Trailer)).Reason);

    private static List<string> Names() =>
        [.. Requests().SelectMany(request => NumbersOf(request).Select(number => $"{request.FullName}: {number.Path}"))];

    private static IEnumerable<MessageDescriptor> Requests() =>
        new[] { ImagesReflection.Descriptor, JobsReflection.Descriptor, ProvisioningReflection.Descriptor }
            .SelectMany(file => file.Services).SelectMany(service => service.Methods).Select(method => method.InputType)
            .Distinct();

    private static IEnumerable<(FieldDescriptor[] Fields, string Path)> NumbersOf(MessageDescriptor message)
    {
        foreach (var field in message.Fields.InFieldNumberOrder().Where(field => !field.IsMap && !field.IsRepeated))
        {
            if (field.FieldType is FieldType.Int32 or FieldType.Int64)
            {
                yield return ([field], field.Name);
            }
            else if (field.FieldType == FieldType.Message)
            {
                foreach (var (fields, path) in NumbersOf(field.MessageType))
                {
                    yield return ([field, .. fields], $"{field.Name}.{path}");
                }
            }
        }
    }

    private static IMessage With(MessageDescriptor descriptor, ReadOnlySpan<FieldDescriptor> fields, long value)
    {
        var message = descriptor.Parser.ParseFrom([]);
        fields[0].Accessor.SetValue(
            message,
            fields.Length > 1 ? With(fields[0].MessageType, fields[1..], value)
            : fields[0].FieldType == FieldType.Int32 ? (object)(int)value
            : value);
        return message;
    }

    /// <summary>A registry whose project may keep little.</summary>
    public sealed class LimitedApp : RegistryApp
    {
        protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(
            new Dictionary<string, string?>
            {
                ["Registry:Limits:ProjectBytes"] = $"{QuotaBytes}",
                ["Registry:Limits:ImageSizeCapBytes"] = $"{1L << 42}",
            });
    }
}
