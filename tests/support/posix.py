"""The parts of POSIX that Windows lacks: a test that needs one is skipped there, and the skip names the missing part.

After `skip_without` at the top of a module, write `assert sys.platform != "win32"`. mypy then checks the rest of the
module for POSIX only.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest


def skip_without(part: str) -> None:
    """Skip the module that pytest is collecting, if this is Windows. `part` says what Windows does not have."""
    __tracebackhide__ = True  # so that pytest reports the line of the module
    if sys.platform == "win32":
        pytest.skip(_reason(part), allow_module_level=True)


def missing(part: str) -> NoReturn:
    """Skip the running test, because Windows does not have `part`."""
    __tracebackhide__ = True
    pytest.skip(_reason(part))


def _reason(part: str) -> str:
    return f"Windows has no {part}"


class MissingModule:
    """Replaces a module that Windows does not have. The first use of the module skips the running test."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        missing(self._part)


def user() -> int:
    """Return the ID of the user who runs the tests."""
    if sys.platform != "win32":
        return os.geteuid()
    missing("user IDs")


def is_root() -> bool:
    """Return whether root runs the tests, who may read, change and give away every file. Windows has no root."""
    return sys.platform != "win32" and os.geteuid() == 0


def give_away(path: Path, user: int, group: int = -1) -> None:
    """Change the owner and the group of a file; -1 keeps one of them. Only root can change the owner."""
    if sys.platform != "win32":
        os.chown(path, user, group)
    else:
        missing("owners that are numbers")


def make_pipe(path: Path, mode: int = 0o666) -> None:
    """Create a named pipe at a path."""
    if sys.platform != "win32":
        os.mkfifo(path, mode)
    else:
        missing("named pipes in directories")


def unix_socket() -> socket.socket:
    """Return a new socket whose address is a path."""
    if sys.platform != "win32":
        return socket.socket(socket.AF_UNIX)
    missing("sockets in directories")


def process_group(process: int) -> int:
    """Return the ID of a process's group. Raises `ProcessLookupError`."""
    if sys.platform != "win32":
        return os.getpgid(process)
    missing("process groups with IDs")
