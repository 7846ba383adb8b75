using Microsoft.Extensions.Options;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Stores;

/// <summary>The configured stores by id.</summary>
public sealed class StoreSet
{
    private readonly Dictionary<string, IBlobStore> _stores;

    /// <summary>Makes the stores of the configuration.</summary>
    public StoreSet(IOptions<RegistryOptions> options, ILogger<DirectoryBlobStore> logger)
    {
        var sections = options.Value.Stores;
        if (sections.Count == 0)
        {
            sections = [new StoreSection { Id = "default", Path = Path.Combine(options.Value.DataDirectory, "blobs") }];
        }

        _stores = sections.ToDictionary(s => s.Id, s => (IBlobStore)new DirectoryBlobStore(s.Id, s.Path, logger));
        Default = _stores[(sections.FirstOrDefault(s => s.Default) ?? sections[0]).Id];
    }

    /// <summary>Where uploads go that name no store.</summary>
    public IBlobStore Default { get; }

    /// <summary>All stores.</summary>
    public IEnumerable<IBlobStore> All => _stores.Values;

    /// <summary>The store of an id that the database has.</summary>
    /// <exception cref="RegistryException">StoreUnavailable: the configuration has no such store any more.</exception>
    public IBlobStore Get(string id) =>
        _stores.TryGetValue(id, out var store)
            ? store
            : throw new RegistryException(ErrorCode.StoreUnavailable, $"Store '{id}' is not configured.");
}
