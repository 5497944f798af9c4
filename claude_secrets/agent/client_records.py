"""Record each client that started a server, so that commands run by the client's agents are recognised later.

Always: the directory of the records depends on the user account, not on the environment. A record identifies one
process of one boot. Records help detection but are no protection: any program that runs as the person can delete them.
"""

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets import paths
from claude_secrets.agent.processes import Process
from claude_secrets.atomic_file import make_private
from claude_secrets.links import is_link_status

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LIMIT: Final = 1000
"""The largest number of records that are read."""


def directory() -> Path:
    """The directory of the records, in the account's runtime directory or else in the account's home directory."""
    if sys.platform == "linux":
        runtime = Path("/run/user", str(os.getuid()))
        if _is_own(runtime):
            return runtime / paths.APPLICATION / "clients"
    return paths.account_home() / ".cache" / paths.APPLICATION / "clients"


def read_records() -> frozenset[tuple[int, str]]:
    """The process ID and start time of each client that was recorded since the machine was started."""
    boot, records = _boot(), set()
    with suppress(OSError):  # there are no records, or they cannot be read
        for name in os.listdir(directory())[:_LIMIT]:  # noqa: PTH208  only the names are needed
            noted = _meaning(name)
            if noted is not None and noted[0] == boot:
                records.add(noted[1:])
    return frozenset(records)


def record_client(client: Process, lives: Callable[[int, str], bool]) -> None:
    """Record a client, and delete the records of clients that have ended.

    If the record cannot be written, the error is ignored, because detection also uses other signs.
    """
    place, boot = directory(), _boot()
    with suppress(OSError):
        make_private(place)
        if not _is_own(place):
            return
        for name in os.listdir(place):  # noqa: PTH208  as above
            noted = _meaning(name)
            if noted is None or noted[0] != boot or not lives(*noted[1:]):
                (place / name).unlink(missing_ok=True)
        (place / f"{boot}.{client.number}.{client.started}").touch(mode=0o600)


def _meaning(name: str) -> tuple[str, int, str] | None:
    boot, _, rest = name.partition(".")
    number, _, started = rest.partition(".")
    return (boot, int(number), started) if number.isascii() and number.isdecimal() and started else None


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # on other systems the start time is a calendar time, which differs in each boot
        return "boot"


def _is_own(path: Path) -> bool:
    """Whether a directory belongs to this user and no other user may write in it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        return False
    return stat.S_ISDIR(status.st_mode) and not is_link_status(status)
