"""Record each client that started a server, so that commands which its agents run later are recognised.

Always: the directory comes from the account, not from the environment. A record names one process of one boot. Records
help but do not protect: any program of the person's can delete them.
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

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LIMIT: Final = 1000
"""The most records that are read."""


def directory() -> Path:
    """The directory of the records: in the account's runtime directory, otherwise below its home."""
    if sys.platform == "linux":
        runtime = Path("/run/user", str(os.getuid()))
        if _is_own(runtime):
            return runtime / paths.APPLICATION / "clients"
    return paths.account_home() / ".cache" / paths.APPLICATION / "clients"


def read_records() -> frozenset[tuple[int, str]]:
    """The clients recorded since the machine was started: ID and start time of each process."""
    boot, records = _boot(), set()
    with suppress(OSError):  # there are no records, or they cannot be read
        for name in os.listdir(directory())[:_LIMIT]:  # noqa: PTH208  only the names are needed
            noted = _meaning(name)
            if noted is not None and noted[0] == boot:
                records.add(noted[1:])
    return frozenset(records)


def record_client(client: Process, lives: Callable[[int, str], bool]) -> None:
    """Record a client and drop the records of clients that are gone. If that fails, detection uses other signs."""
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
    except OSError:  # on other systems a start is a calendar time, which no later process has
        return "boot"


def _is_own(path: Path) -> bool:
    """Whether a directory belongs to this user and nobody else may write in it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if sys.platform == "win32":
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
