using System.Buffers.Binary;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>The first part of a connection: a client asks for what there is until it chooses an export, or
/// goes.</summary>
/// <remarks>Everything is bounded: options in number and length, names, and by the caller the time.</remarks>
internal sealed partial class NbdHandshake(
    NbdChannel channel, NbdInput input, NbdDoor door, NbdCache cache, NbdSection settings)
    : IAsyncDisposable
{
    private const int OptionsMax = 256;
    private const int OptionHead = 16;
    private const int OptionMaxBytes = 32 << 10;
    private const uint FixedNewstyle = 1;
    private const uint NoZeroes = 2;

    private readonly NbdAnswers _answers = new(channel);
    private bool _withZeroes;
    private bool _isStructured;
    private string? _contextOf;
    private (NbdPermit Permit, NbdDisk Disk)? _looked;

    /// <summary>Answers until the client has chosen.</summary>
    /// <returns>Null when it went without.</returns>
    /// <exception cref="NbdViolationException">It does not keep to the protocol or to the bounds.</exception>
    public async ValueTask<NbdChoice?> RunAsync(CancellationToken cancellationToken)
    {
        await _answers.HelloAsync(cancellationToken);
        var head = new byte[OptionHead];
        if (!await input.FillAsync(head.AsMemory(0, sizeof(uint)), cancellationToken))
        {
            return null;
        }

        var flags = BinaryPrimitives.ReadUInt32BigEndian(head);
        if ((flags & ~(FixedNewstyle | NoZeroes)) != 0)
        {
            throw new NbdViolationException("the client has unknown flags");
        }

        _withZeroes = (flags & NoZeroes) == 0;
        for (var count = 0; count < OptionsMax; count++)
        {
            if (!await input.FillAsync(head, cancellationToken))
            {
                return null;
            }

            if (BinaryPrimitives.ReadUInt64BigEndian(head) != NbdMagic.Option)
            {
                throw new NbdViolationException("an option does not begin with its magic number");
            }

            var option = (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(8));
            var length = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(12));
            if (length > OptionMaxBytes)
            {
                throw new NbdViolationException("an option is too long");
            }

            var data = new byte[length];
            if (!await input.FillAsync(data, cancellationToken) || option == NbdOption.Abort)
            {
                await _answers.EndAsync(option, NbdAnswer.Ack, "", cancellationToken);
                return null;
            }

            if (await AnswerAsync(option, data, cancellationToken) is { } choice)
            {
                return choice;
            }
        }

        throw new NbdViolationException("there are too many options");
    }

    /// <summary>Leaves the disk that the client looked at last.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_looked is { } looked)
        {
            _looked = null;
            await looked.Disk.RemoveUserAsync();
        }
    }

    private bool IsTlsMissing => settings.RequireTls && !channel.IsSecure;

    private async ValueTask<NbdChoice?> AnswerAsync(NbdOption option, byte[] data, CancellationToken cancellationToken)
    {
        switch (option)
        {
            case NbdOption.StartTls:
                await StartTlsAsync(data, cancellationToken);
                return null;
            case NbdOption.ExportName when IsTlsMissing:
                throw new NbdViolationException("it does not begin TLS, which it must");
            case var _ when IsTlsMissing:
                await RefuseAsync(option, NbdAnswer.TlsRequired, "TLS must be begun first.", cancellationToken);
                return null;
            case NbdOption.ExportName:
                return await ExportNameAsync(data, cancellationToken);
            case NbdOption.Info or NbdOption.Go:
                return await InfoAsync(option, data, cancellationToken);
            case NbdOption.List or NbdOption.StructuredReply when data.Length > 0:
                await RefuseAsync(option, NbdAnswer.Invalid, "This option takes no data.", cancellationToken);
                return null;
            case NbdOption.List:
                await ListAsync(cancellationToken);
                return null;
            case NbdOption.StructuredReply:
                _isStructured = true;
                await _answers.EndAsync(option, NbdAnswer.Ack, "", cancellationToken);
                return null;
            case NbdOption.ListMetaContext or NbdOption.SetMetaContext:
                await MetaAsync(option, data, cancellationToken);
                return null;
            default:
                await RefuseAsync(option, NbdAnswer.Unsupported, "This option is not known.", cancellationToken);
                return null;
        }
    }

    private async ValueTask StartTlsAsync(byte[] data, CancellationToken cancellationToken)
    {
        if (data.Length > 0 || channel.IsSecure || !channel.OffersTls)
        {
            await RefuseAsync(
                NbdOption.StartTls, channel.OffersTls ? NbdAnswer.Invalid : NbdAnswer.Unsupported,
                channel.OffersTls ? "TLS is begun once, without data." : "There is no TLS here.", cancellationToken);
            return;
        }

        if (channel.HasMore())
        {
            // A client waits for the answer: who goes on in the clear is perhaps somebody else.
            throw new NbdViolationException("it sent on in the clear after it wanted TLS");
        }

        await _answers.EndAsync(NbdOption.StartTls, NbdAnswer.Ack, "", cancellationToken);
        await channel.SecureAsync(cancellationToken);

        // Nothing that was agreed in the clear counts any more, but how the handshake itself goes.
        (_isStructured, _contextOf) = (false, null);
        await DisposeAsync();
    }

    private async ValueTask ListAsync(CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var image in door.ListAsync(cancellationToken))
            {
                await _answers.ServerAsync(NbdOption.List, image.Id, image.Name ?? "", cancellationToken);
            }

            await _answers.EndAsync(NbdOption.List, NbdAnswer.Ack, "", cancellationToken);
        }
        catch (RegistryException e)
        {
            await RefuseAsync(NbdOption.List, e, cancellationToken);
        }
    }

    private async ValueTask MetaAsync(NbdOption option, byte[] data, CancellationToken cancellationToken)
    {
        var isSet = option == NbdOption.SetMetaContext;
        if (isSet)
        {
            _contextOf = null;
        }

        if (!_isStructured || NbdMeta.TryParse(data) is not { } meta)
        {
            await RefuseAsync(
                option, NbdAnswer.Invalid,
                _isStructured ? "The request is malformed." : "Structured replies must be chosen first.",
                cancellationToken);
            return;
        }

        try
        {
            await LookAsync(meta.ExportName, cancellationToken);
        }
        catch (Exception e) when (NbdErrors.IsOfRequest(e))
        {
            await RefuseAsync(option, e, cancellationToken);
            return;
        }

        if (isSet ? meta.Selects() : meta.Lists())
        {
            _contextOf = isSet ? meta.ExportName : _contextOf;
            _answers.Context(option, isSet ? NbdMeta.AllocationId : 0);
        }

        await _answers.EndAsync(option, NbdAnswer.Ack, "", cancellationToken);
    }

    private ValueTask RefuseAsync(NbdOption option, Exception exception, CancellationToken cancellationToken) =>
        RefuseAsync(
            option,
            exception is RegistryException { Code: ErrorCode.Forbidden or ErrorCode.Busy }
                ? NbdAnswer.Policy
                : NbdAnswer.Unknown,
            exception.Message, cancellationToken);

    private ValueTask RefuseAsync(
        NbdOption option, NbdAnswer answer, string message, CancellationToken cancellationToken) =>
        _answers.EndAsync(option, answer, message, cancellationToken);
}
