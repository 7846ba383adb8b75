using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>Finds out what a stream is and whether it is safe to keep, while it passes by.</summary>
/// <remarks>
/// Never opens, resolves or follows anything that the stream names. Keeps the first 64 KiB, for VMDK and VHDX up to
/// <see cref="MaxHeadBytes"/>, at most one further range of 128 KiB, and the last 2 KiB; once those have passed, a
/// chunk costs the copy of its last 2 KiB. The verdict does not depend on how the stream is cut into chunks.
/// For one caller at a time.
/// </remarks>
public sealed class FormatInspector
{
    private const int FirstHeadBytes = 64 * 1024;
    private const int MaxHeadBytes = (1024 + 64) * 1024;
    private const int MaxRegionBytes = 128 * 1024;

    private static readonly FormatProbe[] Probes =
    [
        new QcowProbe(), new VmdkProbe(), new VhdProbe(), new VhdxProbe(), new VdiProbe(), new QedProbe(),
        new IsoProbe(), new PartitionProbe(), new LuksProbe(), new PloopProbe(),
    ];

    private readonly StreamTail _tail = new();
    private byte[] _head = new byte[FirstHeadBytes];
    private int _headFilled;
    private bool _headIsWhole;
    private byte[] _region = [];
    private long _regionOffset;
    private int _regionFilled;
    private Inspection? _result;

    /// <summary>Bytes fed so far.</summary>
    public long Length { get; private set; }

    /// <summary>Bytes of memory held: 64 KiB at first, more where the signature asks for it.</summary>
    public int HeldBytes => _head.Length + _region.Length;

    /// <summary>A reason to refuse the stream whatever it was declared to be; null while none is certain.</summary>
    /// <remarks>Only ever a disk container that is not safe, known as soon as its header has passed.</remarks>
    public InspectionFailure? EarlyRefusal { get; private set; }

    /// <summary>The disk container whose signature the stream starts with; null when there is none, or not known
    /// yet.</summary>
    public DiskFormat? EarlyContainer { get; private set; }

    /// <summary>Inspects bytes that can be read anywhere: only what the verdict depends on is read.</summary>
    /// <param name="source">The bytes; stays the caller's.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>What it would be, had all of them been fed.</returns>
    public static async ValueTask<Inspection> InspectAsync(IByteSource source, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        var inspector = new FormatInspector();
        var buffer = new byte[FirstHeadBytes];
        while (true)
        {
            inspector.SkipIn(source.Length);
            var read = await source.ReadAsync(inspector.Length, buffer, cancellationToken).ConfigureAwait(false);
            if (read == 0)
                return inspector.Finish();

            inspector.Feed(buffer.AsSpan(0, read));
        }
    }

    /// <summary>Takes the next bytes of the stream.</summary>
    /// <param name="chunk">Any number of bytes.</param>
    /// <exception cref="InvalidOperationException">The stream is finished.</exception>
    public void Feed(ReadOnlySpan<byte> chunk)
    {
        if (_result is not null)
            throw new InvalidOperationException("The stream is finished.");

        var rest = chunk;
        while (!_headIsWhole && !rest.IsEmpty)
            rest = rest[FillHead(rest)..];

        if (_regionFilled < _region.Length)
            FillRegion(rest, Length + (chunk.Length - rest.Length));

        _tail.Append(chunk);
        Length += chunk.Length;
    }

    /// <summary>Ends the stream and says what it is. Further calls answer the same.</summary>
    public Inspection Finish() => _result ??= Judge(new StreamSample
    {
        Head = _head.AsSpan(0, _headFilled),
        Region = _regionFilled == _region.Length ? _region : [],
        Tail = _tail.Bytes,
        Length = Length,
    });

    /// <summary>Passes over what is not kept of a stream of known length.</summary>
    private void SkipIn(long length)
    {
        if (!_headIsWhole)
            return;

        var next = length - StreamTail.Size;
        if (_regionFilled < _region.Length)
            next = Math.Min(next, _regionOffset + _regionFilled);
        Length = Math.Max(Length, next);
    }

    private int FillHead(ReadOnlySpan<byte> bytes)
    {
        var taken = Math.Min(bytes.Length, _head.Length - _headFilled);
        bytes[..taken].CopyTo(_head.AsSpan(_headFilled));
        _headFilled += taken;
        if (_headFilled < _head.Length)
            return taken;

        var wanted = Math.Min(Probes.Max(probe => probe.HeadBytes(_head)), MaxHeadBytes);
        if (wanted > _head.Length)
        {
            Array.Resize(ref _head, wanted);
            LookEarly(_head.AsSpan(0, _headFilled));
            return taken;
        }

        _headIsWhole = true;
        PlanRegion();
        LookEarly(_head);
        return taken;
    }

    private void PlanRegion()
    {
        foreach (var probe in Probes)
        {
            var range = probe.Region(_head);
            if (range.Length is > 0 and <= MaxRegionBytes && range.Offset >= _head.Length)
            {
                _region = new byte[range.Length];
                _regionOffset = range.Offset;
            }
        }
    }

    private void FillRegion(ReadOnlySpan<byte> bytes, long offset)
    {
        var skipped = _regionOffset + _regionFilled - offset;
        if (skipped >= bytes.Length)
            return;

        var source = bytes[(int)skipped..];
        var taken = Math.Min(source.Length, _region.Length - _regionFilled);
        source[..taken].CopyTo(_region.AsSpan(_regionFilled));
        _regionFilled += taken;
        if (_regionFilled == _region.Length)
            LookEarly(_head);
    }

    private void LookEarly(ReadOnlySpan<byte> head)
    {
        var sample = new StreamSample
        {
            Head = head,
            Region = _regionFilled == _region.Length ? _region : [],
        };
        foreach (var probe in Probes)
        {
            if (EarlyRefusal is not null || !FormatNames.IsContainer(probe.Format) || !probe.Matches(sample))
                continue;

            EarlyContainer ??= probe.Format;
            EarlyRefusal = TryCheck(probe, sample, out _);
        }
    }

    private Inspection Judge(in StreamSample sample)
    {
        List<DiskFormat> matches = [];
        foreach (var probe in Probes)
        {
            if (probe.Matches(sample))
                matches.Add(probe.Format);
        }

        var candidates = FormatMatches.Resolve(matches, VhdProbe.IsFooterOnly(sample));
        if (candidates.Count == 0)
        {
            return new Inspection(
                DiskFormat.Raw, matches, Length, Length, [], OtherContents.Find(sample.Head, sample.Tail));
        }

        List<InspectionFailure> failures = [];
        if (candidates.Count > 1)
        {
            failures.Add(new InspectionFailure(
                FormatError.AmbiguousFormat,
                $"The content matches more than one format: {string.Join(", ", candidates.Select(FormatNames.Of))}."));
        }

        long? virtualSize = null;
        foreach (var probe in Probes.Where(probe => candidates.Contains(probe.Format)))
        {
            var failure = TryCheck(probe, sample, out var size);
            virtualSize ??= size;
            if (failure is not null)
                failures.Add(failure);
        }

        return new Inspection(candidates[0], matches, Length, candidates.Count == 1 ? virtualSize : null, failures);
    }

    private static InspectionFailure? TryCheck(FormatProbe probe, in StreamSample sample, out long? virtualSize)
    {
        virtualSize = null;
        try
        {
            virtualSize = probe.Check(sample);
            return null;
        }
        catch (ImageFormatException refusal)
        {
            return new InspectionFailure(refusal.Error, refusal.Message);
        }
    }
}
