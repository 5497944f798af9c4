"""Refuse a store that two programs could change without seeing each other's changes.

SQLite keeps the latest changes in a log next to the store's file, and finds the log by the file's name. If a file has
two names, each name has its own log. Source: https://www.sqlite.org/howtocorrupt.html (section "Multiple links to the
same file"). A file that is mounted without its directory also has two names.

Always: a refused store is not opened, and nothing is changed.
"""

import os
import re
import stat
import sys
from pathlib import Path
from typing import Final

from claude_secrets.errors import Code, StoreError
from claude_secrets.store.creation import draft_of
from claude_secrets.windows_package import private_to

_MOUNTS: Final = Path("/proc/self/mountinfo")
"""The mounts that this process sees on Linux, described in proc_pid_mountinfo(5)."""

_FIND: Final = "fsutil hardlink list STORE" if sys.platform == "win32" else "find DIR -samefile STORE"


class SplitStoreError(StoreError):
    """The store's latest changes may be in a log that this process does not see, so its values may be outdated."""


def refuse_private(path: Path, what: str = "store") -> None:
    """Raise `SplitStoreError` STORE_UNAVAILABLE if only one Windows package's programs would see the file at `path`.

    `what` is "store" or "key file".
    """
    package = private_to(path)
    if package is not None:
        raise SplitStoreError(
            Code.STORE_UNAVAILABLE,
            f"The {what} is in AppData, and Windows gives the client ({package}) its own copy of the files in AppData.",
            f"Move the {what} out of AppData, for example to .claude-secrets in your user profile.",
        )


def refuse_second_name(path: Path, status: os.stat_result) -> None:
    """Raise `SplitStoreError` STORE_UNAVAILABLE if the store's file has a second name (a hard link).

    `status` is the file's status. A process that creates a store gives the file two names for a moment: the store's
    name and the draft's name. A file that this process cannot change may have any number of names.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
        return
    names = status.st_nlink - _is_draft(path, status)
    if names < 2 or path.stat().st_nlink < 2 or not _can_change(path):
        return
    raise SplitStoreError(
        Code.STORE_UNAVAILABLE,
        "The store's file has a second name (a hard link), so changes made under one name can get lost.",
        f"Find the second name, for example with `{_FIND}`, and remove that name. Or stop all clients, "
        "and replace the store with a copy of itself.",
    )


def refuse_mounted_file(path: Path) -> None:
    """Raise `SplitStoreError` STORE_UNAVAILABLE if the store's file is mounted on Linux without its directory.

    For example, a container with only the file makes its own log. If this process cannot change the file, the file may
    be mounted.
    """
    if sys.platform == "linux" and os.fsencode(os.path.realpath(path)) in _mount_points() and _can_change(path):
        raise SplitStoreError(
            Code.STORE_UNAVAILABLE,
            "The store's file is mounted without its directory, so changes can get lost.",
            "Mount the store's directory instead of its file.",
        )


def _is_draft(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(draft_of(path).stat(), status)
    except OSError:  # there is no draft
        return False


def _can_change(path: Path) -> bool:
    """Whether this process can write the file, and create a log next to it."""
    real = Path(os.path.realpath(path))
    return os.access(real, os.W_OK) and os.access(real.parent, os.W_OK)


def _mount_points() -> set[bytes]:
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:  # without /proc, nothing says what is mounted
        return set()
    return {re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split(b" ")[4]) for line in lines}
