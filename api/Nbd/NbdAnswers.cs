using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;

namespace Registry.Api.Nbd;

/// <summary>What a client is answered while it chooses an export.</summary>
/// <param name="channel">The connection's bytes.</param>
internal sealed class NbdAnswers(NbdChannel channel)
{
    private const int Head = 20;
    private const ushort FixedNewstyle = 1;
    private const ushort NoZeroes = 2;
    private const int ReservedBytes = 124;

    private PipeWriter Output => channel.Output;

    /// <summary>Greets: fixed newstyle negotiation.</summary>
    public async ValueTask HelloAsync(CancellationToken cancellationToken)
    {
        var span = Output.GetSpan(18);
        BinaryPrimitives.WriteUInt64BigEndian(span, NbdMagic.Hello);
        BinaryPrimitives.WriteUInt64BigEndian(span[8..], NbdMagic.Option);
        BinaryPrimitives.WriteUInt16BigEndian(span[16..], FixedNewstyle | NoZeroes);
        Output.Advance(18);
        await Output.FlushAsync(cancellationToken);
    }

    /// <summary>The last answer to an option.</summary>
    /// <param name="option">The option.</param>
    /// <param name="answer">Ack, or a refusal.</param>
    /// <param name="message">What a human is told of a refusal.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async ValueTask EndAsync(
        NbdOption option, NbdAnswer answer, string message, CancellationToken cancellationToken)
    {
        Write(option, answer, answer == NbdAnswer.Ack ? [] : Text(message));
        await Output.FlushAsync(cancellationToken);
    }

    /// <summary>An export in a list.</summary>
    public async ValueTask ServerAsync(
        NbdOption option, string name, string description, CancellationToken cancellationToken)
    {
        var (first, second) = (Text(name), Text(description));
        var data = new byte[sizeof(uint) + first.Length + second.Length];
        BinaryPrimitives.WriteUInt32BigEndian(data, (uint)first.Length);
        first.CopyTo(data, sizeof(uint));
        second.CopyTo(data, sizeof(uint) + first.Length);
        Write(option, NbdAnswer.Server, data);
        await Output.FlushAsync(cancellationToken);
    }

    /// <summary>What an export is.</summary>
    /// <param name="option">INFO or GO.</param>
    /// <param name="export">Its disk.</param>
    /// <param name="abilities">What it can do.</param>
    /// <param name="preferredBlock">Bytes that are best read together.</param>
    /// <param name="question">What else was asked for, and by which name.</param>
    public void Info(
        NbdOption option, NbdDisk export, NbdAbilities abilities, uint preferredBlock, NbdQuestion question)
    {
        var data = new byte[12];
        BinaryPrimitives.WriteInt64BigEndian(data.AsSpan(2), export.Disk.VirtualSize);
        BinaryPrimitives.WriteUInt16BigEndian(data.AsSpan(10), (ushort)abilities);
        Write(option, NbdAnswer.Info, data);
        foreach (var info in question.Wanted.Distinct())
        {
            switch (info)
            {
                case NbdInfo.Name:
                    Write(option, NbdAnswer.Info, [0, (byte)info, .. Text(question.ExportName)]);
                    break;
                case NbdInfo.Description when export.ImageName.Length > 0:
                    Write(option, NbdAnswer.Info, [0, (byte)info, .. Text(export.ImageName)]);
                    break;
                case NbdInfo.BlockSize:
                    var sizes = new byte[14];
                    sizes[1] = (byte)info;
                    BinaryPrimitives.WriteUInt32BigEndian(sizes.AsSpan(2), 1);
                    BinaryPrimitives.WriteUInt32BigEndian(sizes.AsSpan(6), preferredBlock);
                    BinaryPrimitives.WriteUInt32BigEndian(sizes.AsSpan(10), NbdRequest.PayloadMax);
                    Write(option, NbdAnswer.Info, sizes);
                    break;
                default:
                    break; // what is not known is not answered
            }
        }
    }

    /// <summary>The one metadata context.</summary>
    public void Context(NbdOption option, uint id)
    {
        byte[] data = [0, 0, 0, 0, .. Text(NbdMeta.Allocation)];
        BinaryPrimitives.WriteUInt32BigEndian(data, id);
        Write(option, NbdAnswer.MetaContext, data);
    }

    /// <summary>The answer to EXPORT_NAME, which has a form of its own.</summary>
    public async ValueTask ExportAsync(
        long size, NbdAbilities abilities, bool withZeroes, CancellationToken cancellationToken)
    {
        var length = 10 + (withZeroes ? ReservedBytes : 0);
        var span = Output.GetSpan(length);
        span[..length].Clear();
        BinaryPrimitives.WriteInt64BigEndian(span, size);
        BinaryPrimitives.WriteUInt16BigEndian(span[8..], (ushort)abilities);
        Output.Advance(length);
        await Output.FlushAsync(cancellationToken);
    }

    private void Write(NbdOption option, NbdAnswer answer, ReadOnlySpan<byte> data)
    {
        var span = Output.GetSpan(Head + data.Length);
        BinaryPrimitives.WriteUInt64BigEndian(span, NbdMagic.OptionReply);
        BinaryPrimitives.WriteUInt32BigEndian(span[8..], (uint)option);
        BinaryPrimitives.WriteUInt32BigEndian(span[12..], (uint)answer);
        BinaryPrimitives.WriteUInt32BigEndian(span[16..], (uint)data.Length);
        data.CopyTo(span[Head..]);
        Output.Advance(Head + data.Length);
    }

    private static byte[] Text(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        return bytes[..Math.Min(bytes.Length, NbdExportName.MaxBytes)];
    }
}
