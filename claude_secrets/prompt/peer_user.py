"""The user behind a connection to one of our ports, from Linux's table of sockets (proc(5), `/proc/net/tcp`).

Always: only the person's own user and root are let in; a connection that the table does not show clearly is refused; no
request is read. Other systems have no such table, so everybody is let in there.
"""

import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = tuple[str, int]
Look: TypeAlias = Callable[[], Sequence[str]]

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ROW: Final = re.compile(
    r" *\d+: ([0-9A-F]{8,32}):([0-9A-F]{4}) ([0-9A-F]{8,32}):([0-9A-F]{4}) ([0-9A-F]{2})"
    r" \S+ \S+ \S+ +(\d+) +\d+ (\d+)(?: |$)"
)
_MAPPED: Final = bytes(10) + b"\xff\xff"

# include/net/tcp_states.h
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LISTEN = 1, 4, 5, 8, 10
_CONNECTED: Final = frozenset({_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT})
"""A visitor who has finished sending (`shutdown`) is in FIN_WAIT1 or 2. So is a closed socket, but it has no inode."""
_OUR_END: Final = frozenset({_ESTABLISHED, _CLOSE_WAIT})

_ROOT: Final = 0
"""WSL's relay and other port forwarders run as root."""
_NOBODY: Final = 65534
"""A user namespace shows this number for every user whom it does not map, so it does not identify anybody."""


class Visit(NamedTuple):
    """A connection that was accepted, and the address that it comes from."""

    connection: socket.socket
    address: Address


class Socket(NamedTuple):
    """One row of the table. If no program holds the socket, `inode` is 0 and `uid` means nothing."""

    local: Address
    remote: Address
    state: int
    uid: int
    inode: int


class UnseenError(OSError):
    """This system does not show which user a connection belongs to."""


def tables() -> list[str]:
    """Return the table's current texts: for IPv4 and, if the system has it, for IPv6."""
    return [path.read_text("ascii") for path in _TABLES if path.exists()]


def rows(table: str, port: int) -> Iterator[Socket]:
    """Yield the sockets in one text with `port` at either end; an IPv4 address inside an IPv6 one becomes IPv4."""
    needle = f":{port:04X} "
    for line in table.splitlines():
        # Other users may fill the table: a quick test skips most of its rows.
        if needle in line and (match := _ROW.match(line)):
            local, local_port, remote, remote_port, state, uid, inode = match.groups()
            yield Socket(
                local=(_address(local), int(local_port, 16)),
                remote=(_address(remote), int(remote_port, 16)),
                state=int(state, 16),
                uid=int(uid),
                inode=int(inode),
            )


def require_table(listening: socket.socket, look: Look = tables) -> None:
    """Make sure that the table exists and contains `listening`; then it will also contain visitors.

    Raises:
        UnseenError: the table does not contain `listening`.
    """
    if sys.platform != "linux":
        return
    ours: Address = listening.getsockname()
    if not any(row.local == ours and row.state == _LISTEN for text in look() for row in rows(text, ours[1])):
        raise UnseenError


def let_in(visits: Sequence[Visit], ours: Address, look: Look = tables) -> list[bool]:
    """Return for each connection to `ours` whether its other end belongs to the person or to root.

    The table is read twice, however many connections there are.
    """
    if sys.platform != "linux":
        return [True] * len(visits)
    # Twice: a socket that is closed while the table is read can still have its inode and be shown as root's. The
    # second reading then shows it without an inode.
    first, second = _owners(look(), ours), _owners(look(), ours)
    trusted = {os.getuid(), _ROOT} - {_NOBODY}
    # Our own end comes last: if it was open during both readings, nobody else can have had the other end's address.
    return [
        (there := first.get(visit.address)) is not None
        and there == second.get(visit.address)
        and there.uid in trusted
        and _is_open(visit.connection)
        for visit in visits
    ]


class _Owner(NamedTuple):
    uid: int
    inode: int


def _owners(texts: Sequence[str], ours: Address) -> dict[Address, _Owner | None]:
    """Return who has the other end of each connection to `ours`; None if that is not exactly one user."""
    owners: dict[Address, _Owner | None] = {}
    for row in (row for text in texts for row in rows(text, ours[1]) if row.remote == ours):
        owner = _Owner(row.uid, row.inode) if row.inode and row.state in _CONNECTED else None
        owners[row.local] = owner if owners.get(row.local, owner) == owner else None
    return owners


def _address(digits: str) -> str:
    """Return an address in its usual notation. The table has words of 32 bits, each in the machine's byte order."""
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words).removeprefix(_MAPPED)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _is_open(connection: socket.socket) -> bool:
    if sys.platform != "linux":
        return True
    try:
        # tcpi_state, the first byte of `struct tcp_info`.
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _OUR_END
    except OSError:
        return False
