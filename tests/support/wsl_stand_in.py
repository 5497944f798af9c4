"""A stand-in for WSL: the kernel's files about it, `wslpath`, and a drive of Windows with one program."""

import os
import shlex
import sys
from pathlib import Path

from claude_secrets.prompt import wsl
from tests.support.program_places import make

RELEASE = "5.15.167.4-microsoft-standard-WSL2\n"
NATIVE_RELEASE = "6.12.41+deb13-amd64\n"

# Rows that users of WSL have reported. The tests fill in the numbers of the device.
DRIVES = {
    "9p": r"114 86 {device} / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000;symlinkroot=/mnt/",
    "9p, shared": r"114 86 {device} / /mnt/c rw,noatime shared:1 - 9p C:\134 rw,aname=drvfs,cache=5,trans=fd,rfd=6",
    "virtiofs": "114 86 {device} / /mnt/c rw,noatime - virtiofs drvfsC0 rw",
    "WSL 1": "114 86 {device} / /mnt/c rw,noatime - drvfs C: rw,case=off,uid=1000,gid=1000",
}
NO_DRIVES = {
    "WSL's drivers": "83 86 {device} / /usr/lib/wsl/drivers ro - 9p drivers ro,aname=drivers;fmask=222,cache=5",
    "another name": "83 86 {device} / /mnt/c rw - 9p C:\\134 rw,aname=drvfsx;path=C:",
    "a volume of a container": "83 86 {device} /project /mnt/c rw - ext4 /dev/sdc rw",
    "a user's file system": "83 86 {device} / /mnt/c rw - fuse.drvfs drvfs rw,user_id=1000",
    "a drive elsewhere": "83 86 0:0 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:",
    "no row": "",
}


class WslStandIn:
    """The files of the stand-in, below `root`. The Windows program notes its arguments in `said`."""

    def __init__(self, root: Path, *, drive: str = DRIVES["9p"]) -> None:
        self.kernel = make(root / "kernel")
        self.system = make(root / "system")
        self.drive = make(root / "mnt" / "c")
        self.said = root / "rundll32"
        self.program = make(self.drive / "Windows" / "System32") / "rundll32.exe"
        (self.kernel / "release").write_text(RELEASE)
        self.mount(drive)
        note = shlex.quote(str(self.said))
        self.script(
            self.program,
            f'export -p > {note}.env\npwd > {note}.cwd\nfor word; do echo "$word"; done > {note}.draft\n'
            f"/bin/mv {note}.draft {note}\n",
        )
        # WSL shows files of Windows as files of the default user that everyone may change.
        for path in (self.drive, self.program.parent, self.program):
            path.chmod(0o777)
        drive_, program = shlex.quote(str(self.drive)), shlex.quote(str(self.program))
        self.script(
            self.system / "wslpath",
            f'case "$1$2" in\n'
            f"'-uC:\\Windows\\System32\\rundll32.exe') echo {program};;\n"
            f'-m{drive_}/*) echo "C:/${{2#{drive_}/}}";;\n'
            f'-m/*) echo "//wsl.localhost/$WSL_DISTRO_NAME$2";;\n'
            f"*) exit 1;;\nesac\n",
        )

    @property
    def machine(self) -> wsl.Machine:
        """The paths that replace the kernel's files."""
        return wsl.Machine(*(self.kernel / name for name in wsl.Machine._fields))

    def mount(self, row: str) -> None:
        """Make the kernel's table of mounts say that the drive is mounted as in `row`."""
        if sys.platform != "win32":
            number = self.drive.stat().st_dev
            device = f"{os.major(number)}:{os.minor(number)}"
            rows = f"1 0 {device} / / rw - ext4 /dev/root rw\n{row.replace('{device}', device)}\n"
            (self.kernel / "mounts").write_text(rows)

    def mirror(self) -> None:
        """Make the interface exist that only a mirrored network has."""
        (self.kernel / "mirrored").mkdir()

    def script(self, path: Path, text: str) -> None:
        """Write a program of the shell."""
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
