global using Xunit;
global using Registry.Support;

[assembly: TestCollectionOrderer(typeof(LongTestsFirst))]

