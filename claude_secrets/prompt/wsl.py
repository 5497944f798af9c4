r"""Show the entry file of a one-time page in the person's Windows browser, from inside WSL.

Always: WSL is recognised by the kernel's release, not by a variable. The only Windows program that runs is
`rundll32.exe` in C:\Windows\System32, on a drive that WSL itself has mounted. No shell interprets an argument. Only the
entry file's path is an argument, never the page's address.

WSL shows files of Windows as files of the person that everyone may change, so their owners and modes mean nothing. In
C:\Windows\System32, Windows lets only administrators change files. `wslview` is not used: it is a shell script that
reads the person's configuration files, and it passes its argument to PowerShell or `cmd.exe`.

Sources: https://wsl.dev/technical-documentation/ (interop, localhost, drvfs), and `src/linux/init` in
https://github.com/microsoft/WSL.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from claude_secrets import programs
from claude_secrets.programs import Places

RELAY_SECONDS: Final = 2
"""Seconds after which a Windows browser reaches a new port in WSL. WSL looks for new ports once a second."""

_PROGRAM: Final = r"C:\Windows\System32\rundll32.exe"
_END: Final = "/Windows/System32/rundll32.exe"
_ARGUMENT: Final = "url.dll,FileProtocolHandler"
_DISTRIBUTION: Final = "WSL_DISTRO_NAME"
"""`wslpath` needs this variable to translate the path of a file in WSL."""

_TRANSLATION_LIMIT: Final = 10.0

_SHARE: Final = re.compile(r"//wsl(?:\.localhost|\$)/[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""The beginning of the Windows path of a file in WSL, with the distribution's name."""

_MOUNT: Final = re.compile(
    r"\d+ \d+ (?P<device>\d+:\d+) \S+ \S+ .*? - (?:drvfs|virtiofs|9p(?= \S+ \S*\baname=drvfs(?![^;,\s]))) "
)
"""A drive of Windows in the table of mounts. WSL 1 mounts it as `drvfs`, WSL 2 as `9p` or `virtiofs`."""


class Machine(NamedTuple):
    """The kernel's files that describe WSL. Tests replace these paths."""

    release: Path = Path("/proc/sys/kernel/osrelease")
    mounts: Path = Path("/proc/self/mountinfo")
    mirrored: Path = Path("/sys/class/net/loopback0")


SYSTEM = Machine()


def is_wsl() -> bool:
    """Whether the kernel is WSL's. This is also true in a container on such a kernel."""
    return "microsoft" in _text(SYSTEM.release).lower()


def is_mirrored() -> bool:
    """Whether WSL mirrors the network of Windows. If it does, a browser on Windows cannot visit the page.

    The browser's connections have no socket in Linux, so the page refuses them. Only a mirrored network has the
    interface `loopback0`.
    """
    return SYSTEM.mirrored.exists()


def is_visited_from_windows() -> bool:
    """Whether a browser on Windows can visit a page of ours.

    WSL's relay connects for every user of Windows, and it runs as root, so the page cannot tell these users apart.
    """
    return is_wsl() and not is_mirrored()


def opener(places: Places, environment: Mapping[str, str], forbidden: Sequence[Path]) -> list[str] | None:
    """Return the command that opens a file on Windows, without the file. None if there is no such command.

    `places` must contain WSL's own program `wslpath`, which knows where the drives are mounted. `environment` is
    already cleaned. Nothing in the `forbidden` directories is used.
    """
    if not (is_visited_from_windows() and environment.get(_DISTRIBUTION)):
        return None
    found = _translated(["-u", _PROGRAM], places, environment, forbidden) or ""
    if not (found.startswith("/") and found.endswith(_END)) or programs.is_inside(found, forbidden):
        return None
    return [found, _ARGUMENT] if _is_on_a_drive(Path(found)) else None


def address_of(file: Path, places: Places, environment: Mapping[str, str], forbidden: Sequence[Path]) -> str | None:
    """Return the address (`file:`) by which a Windows program reads `file`. None if Windows cannot read it.

    For a file on a drive of Windows, None is returned, because the file's mode does not keep other users away there.
    """
    translated = _translated(["-m", str(file)], places, environment, forbidden) or ""
    share = _SHARE.match(translated)
    if share is None or translated != share.group() + str(file):
        return None
    return f"file:{quote(translated, safe='/$')}"


def open_file(
    make: Callable[[], Path],
    places: Places,
    environment: Mapping[str, str],
    forbidden: Sequence[Path],
    *,
    run: Callable[[Sequence[str], Mapping[str, str]], bool],
) -> bool:
    """Open a file in the person's Windows browser, and return whether the Windows program accepted it.

    `make` makes the file, and is called only if the Windows program was found. `run` starts a command with an
    environment.
    """
    command = opener(places, environment, forbidden)
    if command is None:
        return False
    try:
        file = make()
    except OSError:
        return False
    address = address_of(file, places, environment, forbidden)
    return address is not None and run([*command, address], environment)


def _translated(
    arguments: Sequence[str], places: Places, environment: Mapping[str, str], forbidden: Sequence[Path]
) -> str | None:
    """Return the path that `wslpath` prints, or None if it fails."""
    program = places.find("wslpath", forbidden)
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program of the system, paths of our own
            [program, *arguments],
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TRANSLATION_LIMIT,
            check=True,
        )
        return done.stdout.decode("utf-8").removesuffix("\n")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None


def _is_on_a_drive(file: Path) -> bool:
    """Whether `file` is a file on a drive of Windows, according to the kernel's table of mounts (proc(5))."""
    if sys.platform == "win32":
        return False
    else:
        try:
            status = file.lstat()
        except OSError:
            return False
        number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
        rows = map(_MOUNT.match, _text(SYSTEM.mounts).splitlines())
        return stat.S_ISREG(status.st_mode) and any(row is not None and row["device"] == number for row in rows)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
