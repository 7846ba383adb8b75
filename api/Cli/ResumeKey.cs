using System.Security.Cryptography;
using System.Text;
using Registry.Engine.Bytes;

namespace Registry.Api.Cli;

/// <summary>The key by which this user's runs recognise what an earlier one of them left unfinished.</summary>
/// <remarks>It lies outside all targets, in <c>$XDG_STATE_HOME/registry/resume.key</c> (default
/// <c>~/.local/state</c>), and only its user can read it. Without a place to keep it, a key of this process alone is used:
/// then nothing is resumed.</remarks>
internal sealed class ResumeKey
{
    private const int KeyBytes = 32;
    private const int IsTaken = 17; // EEXIST
    private const string FileName = "resume.key";

    private readonly byte[] _key;

    /// <summary>Takes a key.</summary>
    /// <param name="key">32 bytes of a random generator.</param>
    public ResumeKey(byte[] key) => _key = key;

    /// <summary>Reads the key of this user; makes one where there is none.</summary>
    /// <exception cref="IOException">There is one that other users could have written.</exception>
    public static async Task<ResumeKey> OfThisUserAsync(CancellationToken cancellationToken)
    {
        if (Home() is not { } home)
        {
            return new ResumeKey(RandomNumberGenerator.GetBytes(KeyBytes));
        }

        HostDirectory directory;
        try
        {
            directory = HostDirectory.OpenOrCreate(home);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new ResumeKey(RandomNumberGenerator.GetBytes(KeyBytes));
        }

        using (directory)
        {
            return directory.Status.IsPrivate
                ? await OpenAsync(directory, cancellationToken)
                : throw new IOException($"'{home}' does not belong to this user alone: other users can write to it");
        }
    }

    /// <summary>Computes the code that authenticates a text about one target.</summary>
    /// <param name="text">The text.</param>
    /// <param name="target">What identifies the target: the text is worth nothing in another one.</param>
    /// <returns>In hexadecimal.</returns>
    public string Sign(string text, string target) =>
        Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{target}\n{text}")));

    /// <summary>Checks the code of a text.</summary>
    public bool IsSigned(string text, string target, string code) => CryptographicOperations.FixedTimeEquals(
        Encoding.UTF8.GetBytes(Sign(text, target)), Encoding.UTF8.GetBytes(code));

    private static string? Home()
    {
        var state = Environment.GetEnvironmentVariable("XDG_STATE_HOME");
        if (state is null || !Path.IsPathRooted(state))
        {
            var user = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            state = user.Length == 0 ? null : Path.Combine(user, ".local", "state");
        }

        return state is null ? null : Path.Combine(state, "registry");
    }

    private static async Task<ResumeKey> OpenAsync(HostDirectory directory, CancellationToken cancellationToken)
    {
        for (var isNew = false; ; isNew = true)
        {
            await using var file = directory.ReadOwn(FileName);
            var key = new byte[KeyBytes];
            if (file is not null && await file.ReadAsync(0, key, cancellationToken) == KeyBytes)
            {
                return new ResumeKey(key);
            }

            if (file is not null || isNew)
            {
                throw new IOException($"'{directory.PathOf(FileName)}' is not a key of {KeyBytes} bytes; remove it");
            }

            try
            {
                await CreateAsync(directory, cancellationToken);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                if (e.HResult != IsTaken)
                {
                    return new ResumeKey(RandomNumberGenerator.GetBytes(KeyBytes));
                }
            }
        }
    }

    // Under another name first: runs that start at the same time must agree on one key.
    private static async Task CreateAsync(HostDirectory directory, CancellationToken cancellationToken)
    {
        var name = $".{FileName}.{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}";
        await using var file = directory.CreateNew(name);
        try
        {
            await file.WriteAsync(0, RandomNumberGenerator.GetBytes(KeyBytes), cancellationToken);
            await file.FlushAsync(cancellationToken);
            directory.Rename(name, FileName, replaces: false);
        }
        finally
        {
            directory.Remove(name);
        }
    }
}
