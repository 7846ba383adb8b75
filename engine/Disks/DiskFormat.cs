namespace Registry.Engine.Disks;

/// <summary>A disk image format the engine knows by its bytes.</summary>
public enum DiskFormat
{
    /// <summary>No container: the disk's bytes themselves.</summary>
    Raw,

    /// <summary>QEMU copy-on-write, versions 2 and 3.</summary>
    Qcow2,

    /// <summary>VMware virtual disk.</summary>
    Vmdk,

    /// <summary>Connectix/Microsoft virtual hard disk ("vpc" in qemu-img).</summary>
    Vhd,

    /// <summary>Hyper-V virtual hard disk version 2.</summary>
    Vhdx,

    /// <summary>VirtualBox disk image.</summary>
    Vdi,

    /// <summary>QEMU enhanced disk; detected in order to be refused.</summary>
    Qed,

    /// <summary>ISO 9660 optical disc.</summary>
    Iso,

    /// <summary>A disk that starts with a GPT or MBR partition table.</summary>
    Gpt,

    /// <summary>LUKS-encrypted volume.</summary>
    Luks,

    /// <summary>Ploop ("parallels" in qemu-img); detected, never read.</summary>
    Ploop,
}
