namespace Registry.Engine.Qcow2;

/// <summary>Features a reader must understand, or refuse the image (header bytes 72 to 79).</summary>
[Flags]
public enum QcowIncompatible : ulong
{
    /// <summary>No bit is set.</summary>
    None = 0,

    /// <summary>Bit 0: reference counts may lag behind the tables.</summary>
    Dirty = 1 << 0,

    /// <summary>Bit 1: metadata is known to be damaged; the image may not be written.</summary>
    Corrupt = 1 << 1,

    /// <summary>Bit 2: guest data is in another file.</summary>
    DataFile = 1 << 2,

    /// <summary>Bit 3: the compression type is not deflate.</summary>
    CompressionType = 1 << 3,

    /// <summary>Bit 4: L2 entries are 16 bytes and describe 32 subclusters each.</summary>
    ExtendedL2 = 1 << 4,

    /// <summary>Every bit that this reader knows by name.</summary>
    Known = Dirty | Corrupt | DataFile | CompressionType | ExtendedL2,
}

/// <summary>Features a reader may ignore but a writer keeps (header bytes 80 to 87).</summary>
[Flags]
public enum QcowCompatible : ulong
{
    /// <summary>No bit is set.</summary>
    None = 0,

    /// <summary>Bit 0: a writer may postpone reference count updates while the dirty bit is set.</summary>
    LazyRefcounts = 1 << 0,
}

/// <summary>Features a writer that does not know them must clear (header bytes 88 to 95).</summary>
[Flags]
public enum QcowAutoclear : ulong
{
    /// <summary>No bit is set.</summary>
    None = 0,

    /// <summary>Bit 0: the bitmaps extension is consistent with the disk.</summary>
    Bitmaps = 1 << 0,

    /// <summary>Bit 1: the external data file is a raw disk by itself.</summary>
    RawDataFile = 1 << 1,
}
