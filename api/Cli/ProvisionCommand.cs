using System.CommandLine;
using Grpc.Core;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Qcow2;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>registry provision: a stored image becomes a disk on this machine.</summary>
internal static class ProvisionCommand
{
    /// <summary>What a provision moved, in bytes.</summary>
    private sealed record Report(string Image, string Path, string Format, DiskStart Start, DiskEnd End, long Written);

    /// <summary>Makes the command.</summary>
    public static Command Create()
    {
        var name = new Argument<string>("IMAGE") { Description = "Id or name" };
        var to = new Option<string>("--to") { Description = "File or block device to write", Required = true };
        var format = new Option<string>("--format")
        {
            Description = "Format of the disk: raw or qcow2",
            DefaultValueFactory = _ => "raw",
        };
        format.AcceptOnlyFromAmong("raw", "qcow2");
        var size = new Option<long?>("--size")
        {
            Description = "Size of the disk, e.g. 12G; at least the image's virtual size",
            CustomParser = Sizes.ParseOption,
        };
        var command = new Command("provision", """
            Make an instance's disk from a stored image, moving only what the image allocates.

            Zeroes are neither sent nor written; the file is sparse. Growing is part of the same pass.
              registry provision debian --to disk.raw
              registry provision debian --to disk.qcow2 --format qcow2 --size 12G
            """) { name, to, format, size };
        var output = new OutputOption(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var registry = await ConnectionOptions.ConnectAsync(parsed, cancellationToken);
            var image = await registry.FindImageAsync(parsed.GetValue(name)!, cancellationToken);
            await using var target = TargetFile.Open(parsed.GetValue(to)!);
            var isQcow = parsed.GetValue(format) == "qcow2";
            var request = new ReadDiskRequest { ImageId = image.Id, Size = parsed.GetValue(size) ?? 0 };
            using var call = registry.Provisioning.ReadDisk(
                request, registry.Headers, cancellationToken: cancellationToken);
            var start = await NextAsync(call, cancellationToken);
            IDiskSink sink = isQcow
                ? new QcowDiskSink(
                    target.Bytes, await LayoutAsync(registry, image.Id, start.Start.Size, cancellationToken))
                : new RawDiskSink(target.Bytes, start.Start.Size, target.IsZero);
            var end = await ReceiveAsync(call, sink, start.Start.Allocated, cancellationToken);
            await sink.CompleteAsync(cancellationToken);
            target.Publish();
            Print(
                new Report(
                    image.Id, parsed.GetValue(to)!, parsed.GetValue(format)!, start.Start, end, sink.BytesWritten),
                output.IsJson(parsed));
            return 0;
        });
        return command;
    }

    private static async Task<DiskEnd> ReceiveAsync(
        AsyncServerStreamingCall<DiskResponse> call,
        IDiskSink sink,
        long allocated,
        CancellationToken cancellationToken)
    {
        using var progress = new ProgressBar("provision", allocated);
        while (true)
        {
            var message = await NextAsync(call, cancellationToken);
            if (message.PartCase == DiskResponse.PartOneofCase.End)
            {
                return message.End;
            }

            await sink.WriteAsync(message.Data.Offset, message.Data.Data.Memory, cancellationToken);
            progress.Add(message.Data.Data.Length);
        }
    }

    private static async Task<DiskResponse> NextAsync(
        AsyncServerStreamingCall<DiskResponse> call, CancellationToken cancellationToken) =>
        await call.ResponseStream.MoveNext(cancellationToken)
            ? call.ResponseStream.Current
            : throw new CommandException("the registry ended the disk before it was complete.");

    private static async Task<QcowLayout> LayoutAsync(
        Connection registry, string imageId, long size, CancellationToken cancellationToken)
    {
        var options = QcowShape.Default;
        var clusters = new ClusterSet(QcowLayout.ClusterCount(size, options.ClusterSize));
        using var call = registry.Provisioning.GetMap(
            new GetMapRequest { ImageId = imageId }, registry.Headers, cancellationToken: cancellationToken);
        await foreach (var message in call.ResponseStream.ReadAllAsync(cancellationToken))
        {
            foreach (var extent in message.Extents.Where(
                e => e.Kind is MapExtent.Types.Kind.Data or MapExtent.Types.Kind.Compressed))
            {
                clusters.AddRange(
                    extent.Start / options.ClusterSize,
                    ((extent.Start + extent.Length - 1) / options.ClusterSize) + 1);
            }
        }

        clusters.Seal();
        return new QcowLayout(size, clusters, options);
    }

    private static void Print(Report report, bool isJson)
    {
        if (isJson)
        {
            OutputOption.WriteJson(json =>
            {
                json.WriteStartObject();
                json.WriteString("image", report.Image);
                json.WriteString("path", report.Path);
                json.WriteString("format", report.Format);
                json.WriteNumber("image-virtual-size", report.Start.Info.VirtualSize);
                json.WriteNumber("virtual-size", report.Start.Size);
                json.WriteNumber("allocated", report.Start.Allocated);
                json.WriteNumber("stored", report.Start.Stored);
                json.WriteNumber("read-from-store", report.End.StoreBytesRead);
                json.WriteNumber("written", report.Written);
                json.WriteEndObject();
            });
            return;
        }

        Line("virtual size", report.Start.Size);
        Line("allocated", report.Start.Allocated);
        Line("stored", report.Start.Stored);
        Line("read from store", report.End.StoreBytesRead);
        Line("written", report.Written);
    }

    private static void Line(string name, long bytes) =>
        Console.WriteLine($"{name,-16} {Sizes.Show(bytes),10} ({bytes} bytes)");
}
