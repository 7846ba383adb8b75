namespace Registry.Support;

/// <summary>What a <see cref="TcpGate"/> does to the connections that begin while it is set.</summary>
public sealed record GateFault
{
    /// <summary>Holds all bytes back, in both directions and on open connections too, until the fault is taken
    /// away.</summary>
    public bool Holds { get; init; }

    /// <summary>Answers each connection's first request with this HTTP status; the server never hears of it.</summary>
    public int? Status { get; init; }

    /// <summary>Cuts a connection after so many bytes from the server.</summary>
    public long? CutAfter { get; init; }

    /// <summary>Turns one bit of this byte from the server.</summary>
    public long? FlipAt { get; init; }

    /// <summary>Turns one bit of this byte from the client.</summary>
    public long? FlipSentAt { get; init; }

    /// <summary>Turns one bit of a request over HTTP/1.1; null for none.</summary>
    public RequestFlip? FlipRequest { get; init; }

    /// <summary>Passes on what contains this, swallows the server's answer, and cuts the connection.</summary>
    public ReadOnlyMemory<byte> LosesAnswerTo { get; init; }

    /// <summary>How often it happens; afterwards connections pass.</summary>
    public int Times { get; init; } = int.MaxValue;
}
