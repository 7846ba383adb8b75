using System.Security.Cryptography;
using Registry.Support;

namespace Registry.Faults;

/// <summary>Verbs of the command line, with bits turned between it and the registry.</summary>
internal sealed class FlippedCommands(
    Trial trial, Site site, RegistryProcess registry, TcpGate http, TcpGate grpc, Ledger ledger)
{
    private const int ImageBytes = 12 << 20;
    private const int HeadBytes = 1500;
    private static readonly string[] Verbs = ["push", "pull", "provision", "qcow2", "thin"];

    private readonly string _file = Path.Combine(site.Scratch, "flipped.raw");
    private readonly string _target = Path.Combine(site.Scratch, "target");
    private readonly string _cache = Path.Combine(site.Scratch, "cache");
    private readonly byte[] _content = trial.Bytes(ImageBytes);
    private ExternalTool? _qemu;
    private string _image = "";

    /// <summary>Runs until as many runs as there are rounds have met a flip.</summary>
    public async Task<string> RunAsync()
    {
        _qemu = ExternalTool.Find("qemu-img") is { } path ? ExternalTool.At(path) : null;
        _content.AsSpan(ImageBytes / 2, 2 << 20).Clear();
        await File.WriteAllBytesAsync(_file, _content);
        _image = await registry.Client.AddAsync(_content, "flipped");
        ledger.Keep(_image, Promise.Of(_content));
        var (runs, met, flips, good) = (0, 0, 0, 0);
        while (met < trial.Rounds)
        {
            if (++runs > 10 * trial.Rounds)
            {
                throw new FaultException($"only {met} of {runs} runs met a flip");
            }

            var verb = Verbs[met % Verbs.Length];
            if (verb is "qcow2" or "thin" && _qemu is null)
            {
                throw new CannotRunException("qemu-img is not installed");
            }

            var (turned, isGood) = await RunAsync(verb);
            flips += turned;
            met += turned > 0 ? 1 : 0;
            good += turned > 0 && isGood ? 1 : 0;
        }

        return $"{met} runs of push, pull and provision met {flips} flips: {good} ended with the right bytes, "
            + $"{met - good} said why and were right when repeated";
    }

    private async Task<(int Flips, bool IsGood)> RunAsync(string verb)
    {
        var id = Guid.NewGuid().ToString();
        var gate = verb is "push" or "pull" ? grpc : trial.Random.Next(8) == 0 ? grpc : http;
        var fault = Fault(verb);
        var before = gate.Flips;
        gate.Harm(fault);
        var (code, output) = await new ProvisionRun(site, Arguments(verb, id)).EndAsync();
        var flips = gate.Flips - before;
        gate.Up();
        if (code == 0)
        {
            await RequireRightAsync(verb, id, $"{fault}");
            return (flips, true);
        }

        if (output.Length == 0 || output.Contains("   at ", StringComparison.Ordinal))
        {
            throw new FaultException($"{verb} failed with code {code} and says '{output}' ({fault})");
        }

        if (verb != "push" && File.Exists(_target))
        {
            await RequireRightAsync(verb, id, $"{fault}");
        }

        if (verb == "push" && await registry.Client.StatusAsync(id) == "active")
        {
            await RequireRightAsync(verb, id, $"{fault}");
            return (flips, false); // there is nothing to repeat
        }

        (code, output) = await new ProvisionRun(site, Arguments(verb, id)).EndAsync();
        if (code != 0)
        {
            throw new FaultException($"{verb} fails after the flips too: {output.ReplaceLineEndings(" ")} ({fault})");
        }

        await RequireRightAsync(verb, id, $"{fault}");
        return (flips, false);
    }

    // Among the heads, in the last bytes, or anywhere; once, or on every connection.
    private GateFault Fault(string verb)
    {
        var length = verb == "push" ? ImageBytes : ImageBytes - (2 << 20);
        var at = trial.Random.Next(6) switch
        {
            0 => trial.Random.Next(HeadBytes),
            1 => length + trial.Random.Next(3 * HeadBytes),
            _ => (long)trial.Random.Next(length),
        };
        var isSent = verb == "push" ? trial.Random.Next(8) > 0 : trial.Random.Next(8) == 0;
        at = isSent == (verb == "push") ? at : trial.Random.Next(600);
        var times = trial.Random.Next(3) == 0 ? int.MaxValue : 1;
        return isSent ? new GateFault { FlipSentAt = at, Times = times } : new GateFault { FlipAt = at, Times = times };
    }

    private string[] Arguments(string verb, string id)
    {
        string[] url = ["--url", $"{http.Address}"];
        return verb switch
        {
            "push" => ["push", _file, "--id", id, "--disk-format", "raw", .. url],
            "pull" => ["pull", _image, "--to", _target, .. url],
            "thin" => ["provision", _image, "--to", _target, "--thin", "--cache", _cache, "--retry", "1", .. url],
            _ => ["provision", _image, "--to", _target, "--format", verb == "qcow2" ? "qcow2" : "raw", "--retry", "1", .. url],
        };
    }

    private async Task RequireRightAsync(string verb, string id, string fault)
    {
        var isRight = verb switch
        {
            "push" => (await registry.Client.DigestAsync(id)).Sha512
                == Convert.ToHexStringLower(SHA512.HashData(_content)),
            "qcow2" or "thin" => (await _qemu!.RunAsync(
                ["compare", "-f", "raw", "-F", "qcow2", _file, _target], CancellationToken.None)).ExitCode == 0,
            _ => (await File.ReadAllBytesAsync(_target)).AsSpan().SequenceEqual(_content),
        };
        if (!isRight)
        {
            throw new FaultException($"{verb} has wrong bytes after {fault}");
        }

        if (verb == "push")
        {
            ledger.Keep(id, Promise.Of(_content));
            return;
        }

        File.Delete(_target);
        if (verb == "thin")
        {
            Directory.Delete(_cache, recursive: true);
        }
    }
}
