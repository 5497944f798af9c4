"""Facts about processes from the system: this one's ancestors, and which holds the other end of its standard input.

Always: nothing is started or changed. A fact that cannot be read is None, never a guess. `detection` interprets the
facts. Each further system needs an implementation of `Processes`.
"""

import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import psutil

_FIRST_USER_NAMESPACE: Final = 0xEFFFFFFD
"""The inode number of the system's own user namespace (PROC_USER_INIT_INO of Linux's proc_ns.h)."""


class Process(NamedTuple):
    """One process, as far as this user may read it.

    `user` is its effective user ID. `started` distinguishes it from a later process of the same ID within one boot.
    `session` is its session ID; a process can leave a session and never join one. `name` is the name that it gives
    itself. `privileged`: root gave its program capabilities that this process lacks.
    """

    number: int
    parent: int
    user: int | None = None
    session: int | None = None
    started: str = ""
    name: str = ""
    executable: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    directory: Path | None = None
    privileged: bool = False

    def __repr__(self) -> str:  # an environment may hold a value
        return f"Process({self.number}, {self.name!r})"


class Processes(Protocol):
    """The processes that one process can see."""

    def ancestors(self) -> Iterator[Process]:
        """The processes above this one, the nearest first, as far up as they are visible."""
        ...

    def user(self) -> int | None:
        """The user whose processes let this one read their environments, or None if the system hides many of those."""
        ...

    def confined(self) -> bool:
        """Whether this process may be unable to see or read the processes above it (namespaces, another /proc)."""
        ...

    def lives(self, number: int, started: str) -> bool:
        """Whether the process with this ID and start still exists."""
        ...

    def holds_input(self, process: Process) -> bool | None:
        """Whether the process holds the other end of this one's standard input, or None if that is unknown."""
        ...


def here() -> Processes:
    """The processes around this one."""
    return _Linux() if sys.platform == "linux" else _Psutil()


class _Linux:
    """Linux, by proc(5): loading a library would slow every command."""

    def ancestors(self) -> Iterator[Process]:
        number, mine = os.getppid(), _status(Path("/proc/self"))
        capabilities = 0 if mine is None else mine[1]
        while number > 0 and (process := _read_process(number, capabilities)) is not None:
            yield process
            number = process.parent

    def user(self) -> int | None:
        return os.geteuid()

    def confined(self) -> bool:
        """In a user namespace other than the system's own, or below a /proc that is not this process's."""
        try:
            if Path("/proc/self").readlink().name != str(os.getpid()):
                return True
            return Path("/proc/self/ns/user").stat().st_ino != _FIRST_USER_NAMESPACE
        except OSError:  # a process that may mount can hide these files
            return True

    def lives(self, number: int, started: str) -> bool:
        try:
            return _fields(Path("/proc", str(number)))[1][19].decode("ascii") == started
        except OSError:
            return False

    def holds_input(self, process: Process) -> bool | None:
        try:
            opened = os.fstat(0)
            if stat.S_ISSOCK(opened.st_mode):
                return _maker_of_socket() == process.number
            link = os.readlink("/proc/self/fd/0")  # noqa: PTH115  the link's text is not a path
            # The link of a named pipe holds a path instead. Anyone could have made that process open one.
            return link.startswith("pipe:") and _writes_to(process.number, link)
        except OSError:
            return False


def _read_process(number: int, capabilities: int) -> Process | None:
    place = Path("/proc", str(number))
    try:
        name, fields = _fields(place)
    except OSError:  # gone, or hidden from this user
        return None
    status = _status(place)
    return Process(
        number=number,
        parent=int(fields[1]),
        user=None if status is None else status[0],
        session=int(fields[3]),
        started=fields[19].decode("ascii"),
        name=os.fsdecode(name),
        executable=_link(place / "exe"),
        arguments=_words(place / "cmdline") or (),
        # If only threads are left of a process (state Z), its environment reads as empty.
        environment=None if fields[0] == b"Z" else _environment(place),
        directory=Path(directory) if (directory := _link(place / "cwd")) else None,
        privileged=status is not None and bool(status[1] & ~capabilities),
    )


def _fields(place: Path) -> tuple[bytes, list[bytes]]:
    """A process's name, and the fields after it in its `stat`. The name, in parentheses, may contain any bytes."""
    name, _, rest = (place / "stat").read_bytes().partition(b"(")[2].rpartition(b")")
    return name, rest.split()


def _status(place: Path) -> tuple[int, int] | None:
    """A process's effective user and permitted capabilities, which are readable for processes of all users."""
    user = capabilities = None
    with suppress(OSError, ValueError, IndexError):
        for line in (place / "status").read_bytes().splitlines():
            if line.startswith(b"Uid:"):
                user = int(line.split()[2])
            elif line.startswith(b"CapPrm:"):
                capabilities = int(line.split()[1], 16)
    return None if user is None or capabilities is None else (user, capabilities)


def _environment(place: Path) -> dict[str, str] | None:
    words = _words(place / "environ")
    if words is None:
        return None
    pairs = (word.partition("=") for word in words if "=" in word)
    return {name: value for name, _, value in pairs}


def _words(path: Path) -> tuple[str, ...] | None:
    try:
        data = path.read_bytes()
    except OSError:  # another user's process, or one that hides itself
        return None
    return tuple(os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0"))


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  " (deleted)" may follow the path
    except OSError:
        return ""


def _maker_of_socket() -> int:
    """The ID of the process that made the socket pair of standard input (unix(7), SO_PEERCRED)."""
    import socket  # loading it costs as much as all the rest here, and only servers need it

    with socket.socket(fileno=os.dup(0)) as end:
        peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[0])


def _writes_to(number: int, pipe: str) -> bool:
    """Whether a process has a pipe open for writing."""
    directory = f"/proc/{number}/fd"
    for name in os.listdir(directory):  # noqa: PTH208  only the names are needed
        with suppress(OSError):  # closed since then
            path = f"{directory}/{name}"
            # The mode of the link itself shows how the file was opened.
            if os.readlink(path) == pipe and os.lstat(path).st_mode & stat.S_IWUSR:  # noqa: PTH115  as above
                return True
    return False


class _Psutil:
    """Processes on other systems, by psutil."""

    def ancestors(self) -> Iterator[Process]:
        import psutil

        above = psutil.Process().parents()
        for process, parent in zip(above, [*(one.pid for one in above[1:]), 0], strict=True):
            yield _by_psutil(process, parent)

    def user(self) -> int | None:
        return None

    def confined(self) -> bool:
        return False

    def lives(self, number: int, started: str) -> bool:
        import psutil

        try:
            return str(psutil.Process(number).create_time()) == started
        except psutil.Error:
            return False

    def holds_input(self, process: Process) -> bool | None:  # noqa: ARG002  reading that needs more rights
        return None


def _by_psutil(process: "psutil.Process", parent: int) -> Process:
    import psutil

    parts: dict[str, object] = {}
    looks: dict[str, Callable[[], object]] = {
        "user": lambda: process.uids().effective if sys.platform != "win32" else None,
        "session": lambda: os.getsid(process.pid) if sys.platform != "win32" else None,
        "started": lambda: str(process.create_time()),
        "name": process.name,
        "executable": process.exe,
        "arguments": lambda: tuple(process.cmdline()),
        "environment": process.environ,
        "directory": lambda: Path(process.cwd()),
    }
    for field, look in looks.items():
        with suppress(psutil.Error, OSError):  # the process is gone or another user's
            parts[field] = look()
    return Process(number=process.pid, parent=parent, **parts)  # type: ignore[arg-type]  # each look returns its field
