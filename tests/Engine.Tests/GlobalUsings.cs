global using Xunit;
global using Registry.Support;
