using System.Diagnostics;
using Registry.Support;

namespace Registry.Api.Tests.Import;

/// <summary>Compresses with the programs that people use.</summary>
internal static class Packer
{
    /// <summary>What a program makes of bytes. Skips the test where it is not installed.</summary>
    public static async Task<byte[]> RunAsync(string program, byte[] content, params string[] options)
    {
        ExternalTool.Require(program);
        using var packed = new MemoryStream();
        using var process = Process.Start(new ProcessStartInfo(program, ["-c", .. options])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        var reading = process.StandardOutput.BaseStream.CopyToAsync(packed, RegistryApp.Stop);
        await process.StandardInput.BaseStream.WriteAsync(content, RegistryApp.Stop);
        process.StandardInput.Close();
        await reading;
        await process.WaitForExitAsync(RegistryApp.Stop);
        Assert.Equal(0, process.ExitCode);
        return packed.ToArray();
    }
}
