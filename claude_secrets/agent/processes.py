"""Read facts about this process's ancestors, and find the process at the other end of its standard input.

Always: this module starts and changes nothing. A fact that cannot be read is None, never a guess. `detection`
interprets the facts. Support for another operating system needs an implementation of `Processes`.
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
    """The facts about one process that this user may read.

    `number` is the process ID, and `user` is the effective user ID. `started` is the start time, which differs from
    that of a later process with the same ID in the same boot. `session` is the session ID; a process can leave its
    session but cannot join another existing session. `name` is the name that the process gives itself. `privileged`
    says that the process has capabilities that the current process does not have.
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
    """The processes that the current process can see."""

    def ancestors(self) -> Iterator[Process]:
        """The ancestors of this process, the parent first. An ancestor that is not visible ends the list."""
        ...

    def user(self) -> int | None:
        """The ID of this user, or None if the system hides the environments of many processes of this user."""
        ...

    def confined(self) -> bool:
        """Whether namespaces or another /proc may prevent this process from seeing or reading its ancestors."""
        ...

    def lives(self, number: int, started: str) -> bool:
        """Whether the process with this ID and start time still exists."""
        ...

    def holds_input(self, process: Process) -> bool | None:
        """Whether `process` has the other end of this process's standard input; None if that is unknown."""
        ...


def here() -> Processes:
    """The implementation of `Processes` for this operating system."""
    return _Linux() if sys.platform == "linux" else _Psutil()


class _Linux:
    """Processes on Linux, read from /proc. A library is not used, because loading it would slow every command."""

    def ancestors(self) -> Iterator[Process]:
        number, mine = os.getppid(), _status(Path("/proc/self"))
        capabilities = 0 if mine is None else mine[1]
        while number > 0 and (process := _read_process(number, capabilities)) is not None:
            yield process
            number = process.parent

    def user(self) -> int | None:
        number: int | None = None
        if sys.platform == "linux":
            number = os.geteuid()
        return number

    def confined(self) -> bool:
        """Whether this process is not in the system's user namespace, or /proc is that of another PID namespace."""
        try:
            if Path("/proc/self").readlink().name != str(os.getpid()):
                return True
            return Path("/proc/self/ns/user").stat().st_ino != _FIRST_USER_NAMESPACE
        except OSError:  # a process that may mount file systems can hide these files
            return True

    def lives(self, number: int, started: str) -> bool:
        try:
            return _fields(Path("/proc", str(number)))[1][19].decode("ascii") == started
        except OSError:
            return False

    def holds_input(self, process: Process) -> bool | None:
        try:
            opened = os.fstat(0)
            if sys.platform == "linux" and stat.S_ISSOCK(opened.st_mode):
                return _maker_of_socket() == process.number
            link = os.readlink("/proc/self/fd/0")  # noqa: PTH115  the link's text is not a path
            # A named pipe's link is a path. Named pipes do not count, since anyone can make a process open one.
            return link.startswith("pipe:") and _writes_to(process.number, link)
        except OSError:
            return False


def _read_process(number: int, capabilities: int) -> Process | None:
    place = Path("/proc", str(number))
    try:
        name, fields = _fields(place)
    except OSError:  # the process has ended, or is hidden from this user
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
    """A process's name, and the fields after the name in the process's `stat` file.

    The name is in parentheses, and may contain any bytes.
    """
    name, _, rest = (place / "stat").read_bytes().partition(b"(")[2].rpartition(b")")
    return name, rest.split()


def _status(place: Path) -> tuple[int, int] | None:
    """A process's effective user and permitted capabilities. Both can be read for the processes of all users."""
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
    except OSError:  # another user's process, or a process that hides itself
        return None
    return tuple(os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0"))


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  " (deleted)" may follow the path
    except OSError:
        return ""


if sys.platform == "linux":

    def _maker_of_socket() -> int:
        """The ID of the process that created the socket pair of standard input; see SO_PEERCRED in unix(7)."""
        import socket  # loading `socket` costs as much as everything else in this module, and only servers need it

        with socket.socket(fileno=os.dup(0)) as end:
            peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", peer)[0])


def _writes_to(number: int, pipe: str) -> bool:
    """Whether a process has a pipe open for writing."""
    directory = f"/proc/{number}/fd"
    for name in os.listdir(directory):  # noqa: PTH208  only the names are needed
        with suppress(OSError):  # the file was closed since then
            path = f"{directory}/{name}"
            # The mode of the link itself shows how the file was opened.
            if os.readlink(path) == pipe and os.lstat(path).st_mode & stat.S_IWUSR:  # noqa: PTH115  as above
                return True
    return False


class _Psutil:
    """Processes on other operating systems, read with psutil."""

    def ancestors(self) -> Iterator[Process]:
        import psutil

        above = psutil.Process().parents()  # on Windows it is empty if the parent has ended
        numbers = [process.pid for process in above] + [0]
        for index, process in enumerate(above):
            yield _by_psutil(process, parent=numbers[index + 1])

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

    def holds_input(self, process: Process) -> bool | None:  # noqa: ARG002  finding this out needs more rights
        return None


def _by_psutil(process: "psutil.Process", parent: int) -> Process:
    import psutil

    parts: dict[str, object] = {}
    looks: dict[str, Callable[[], object]] = {
        "started": lambda: str(process.create_time()),
        "name": process.name,
        "executable": process.exe,
        "arguments": lambda: tuple(process.cmdline()),
        "environment": process.environ,
        "directory": lambda: Path(process.cwd()),
    }
    if sys.platform != "win32":
        looks |= {"user": lambda: process.uids().effective, "session": lambda: os.getsid(process.pid)}
    for field, look in looks.items():
        with suppress(psutil.Error, OSError):  # the process has ended or belongs to another user
            parts[field] = look()
    return Process(number=process.pid, parent=parent, **parts)  # type: ignore[arg-type]  # each look returns its field
