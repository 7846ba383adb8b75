namespace Registry.Api.Nbd;

/// <summary>The numbers that begin messages (doc/proto.md of NetworkBlockDevice/nbd). All integers are
/// big-endian.</summary>
internal static class NbdMagic
{
    /// <summary>"NBDMAGIC": the first thing a server says.</summary>
    public const ulong Hello = 0x4e42444d41474943;

    /// <summary>"IHAVEOPT": newstyle negotiation, and the begin of every option.</summary>
    public const ulong Option = 0x49484156454F5054;

    /// <summary>A reply to an option.</summary>
    public const ulong OptionReply = 0x3e889045565a9;

    /// <summary>A request.</summary>
    public const uint Request = 0x25609513;

    /// <summary>A simple reply.</summary>
    public const uint SimpleReply = 0x67446698;

    /// <summary>A chunk of a structured reply.</summary>
    public const uint StructuredReply = 0x668e33ef;
}

/// <summary>What a client may ask before it uses an export.</summary>
internal enum NbdOption : uint
{
    ExportName = 1,
    Abort = 2,
    List = 3,
    StartTls = 5,
    Info = 6,
    Go = 7,
    StructuredReply = 8,
    ListMetaContext = 9,
    SetMetaContext = 10,
}

/// <summary>What an option is answered with; those above 2^31 are refusals.</summary>
internal enum NbdAnswer : uint
{
    Ack = 1,
    Server = 2,
    Info = 3,
    MetaContext = 4,
    Unsupported = 0x8000_0001,
    Policy = 0x8000_0002,
    Invalid = 0x8000_0003,
    TlsRequired = 0x8000_0005,
    Unknown = 0x8000_0006,
    Shutdown = 0x8000_0007,
}

/// <summary>A piece of information on an export.</summary>
internal enum NbdInfo : ushort
{
    Export = 0,
    Name = 1,
    Description = 2,
    BlockSize = 3,
}

/// <summary>What an export can do.</summary>
[Flags]
internal enum NbdAbilities : ushort
{
    HasFlags = 1 << 0,
    ReadOnly = 1 << 1,
    SendFlush = 1 << 2,
    SendFua = 1 << 3,
    SendTrim = 1 << 5,
    SendWriteZeroes = 1 << 6,
    SendDontFragment = 1 << 7,
    CanMultiConnect = 1 << 8,
    SendCache = 1 << 10,
}

/// <summary>What a request asks for.</summary>
internal enum NbdCommand : ushort
{
    Read = 0,
    Write = 1,
    Disconnect = 2,
    Flush = 3,
    Trim = 4,
    Cache = 5,
    WriteZeroes = 6,
    BlockStatus = 7,
}

/// <summary>How a request wants it.</summary>
[Flags]
internal enum NbdCommandFlags : ushort
{
    None = 0,
    ForceUnitAccess = 1 << 0,
    NoHole = 1 << 1,
    DontFragment = 1 << 2,
    OnlyOne = 1 << 3,
}

/// <summary>What a chunk of a structured reply holds.</summary>
internal enum NbdChunkType : ushort
{
    None = 0,
    OffsetData = 1,
    OffsetHole = 2,
    BlockStatus = 5,
    Error = 0x8001,
}

/// <summary>Why a request failed; the numbers are Linux's.</summary>
internal enum NbdError : uint
{
    None = 0,
    NotPermitted = 1,
    Io = 5,
    Invalid = 22,
    NoSpace = 28,
    Overflow = 75,
}

/// <summary>The client does not keep to the protocol; the connection ends.</summary>
internal sealed class NbdViolationException(string message) : Exception(message);

/// <summary>A request cannot be carried out, for a reason that has a number of its own.</summary>
internal sealed class NbdRefusalException(NbdError error, string message) : Exception(message)
{
    /// <summary>The number.</summary>
    public NbdError Error { get; } = error;
}
