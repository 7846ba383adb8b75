namespace Registry.Engine.Bytes;

/// <summary>Random-access bytes to read and to write: a disk image that is changed in place.</summary>
/// <remarks>Unlike a plain source its <see cref="IByteSource.Length"/> follows the writes. What was written is read
/// back
/// at once; it lasts from <see cref="IByteSink.FlushAsync"/> on.</remarks>
public interface IByteFile : IByteSource, IByteSink;
