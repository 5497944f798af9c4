"""Finds out which user opened a connection to our port, from Linux's socket table (proc(5), `/proc/net/tcp`).

Always: on Linux, only connections from the person's own user and from root are accepted. A connection is refused if the
table does not clearly show its user. This module reads no data from a connection. Systems other than Linux have no such
table, so on them all connections are accepted.
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
"""A visitor's socket that has finished sending (`shutdown`) is in state FIN_WAIT1 or FIN_WAIT2. A closed socket can be
in the same states, but it has no inode."""
_OUR_END: Final = frozenset({_ESTABLISHED, _CLOSE_WAIT})

_ROOT: Final = 0
"""WSL's relay and other port forwarders run as root."""
_NOBODY: Final = 65534
"""A user namespace shows this number for every user that it does not map, so this number identifies nobody."""


class Visit(NamedTuple):
    """An accepted connection and the address of its other end."""

    connection: socket.socket
    address: Address


class Socket(NamedTuple):
    """One row of the socket table. If no program has the socket open, `inode` is 0 and `uid` is meaningless."""

    local: Address
    remote: Address
    state: int
    uid: int
    inode: int


class UnseenError(OSError):
    """This system does not show which user a connection belongs to."""


def tables() -> list[str]:
    """Return the current texts of the IPv4 and IPv6 socket tables. A table that does not exist is left out."""
    return [path.read_text("ascii") for path in _TABLES if path.exists()]


def rows(table: str, port: int) -> Iterator[Socket]:
    """Yield the sockets in one table whose local or remote port is `port`. IPv4-mapped IPv6 addresses become IPv4."""
    needle = f":{port:04X} "
    for line in table.splitlines():
        # Other users may fill the table, so a quick test first skips most rows.
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
    """Check that the socket table contains our socket `listening`; it will then also contain visitors' sockets.

    Raises:
        UnseenError: the table does not contain `listening`.
    """
    if sys.platform == "linux":
        ours: Address = listening.getsockname()
        if not any(row.local == ours and row.state == _LISTEN for text in look() for row in rows(text, ours[1])):
            raise UnseenError


def let_in(visits: Sequence[Visit], ours: Address, look: Look = tables) -> list[bool]:
    """Return, for each visit, whether the visitor's user is the person or root. `ours` is our own address.

    The table is read exactly twice for any number of visits.
    """
    accepted = [True] * len(visits)
    if sys.platform == "linux":
        # Twice: a socket that is closed while the table is read can still have its inode and be shown as root's. The
        # second reading then shows it without an inode.
        first, second = _owners(look(), ours), _owners(look(), ours)
        trusted = {os.getuid(), _ROOT} - {_NOBODY}
        # Check our own end last: if it was open during both readings, no other socket can have had the visitor's
        # address.
        accepted = [
            (there := first.get(visit.address)) is not None
            and there == second.get(visit.address)
            and there.uid in trusted
            and _is_open(visit.connection)
            for visit in visits
        ]
    return accepted


class _Owner(NamedTuple):
    uid: int
    inode: int


def _owners(texts: Sequence[str], ours: Address) -> dict[Address, _Owner | None]:
    """Map each address that is connected to `ours` to its socket's owner, or to None if the owner is not clear."""
    owners: dict[Address, _Owner | None] = {}
    for row in (row for text in texts for row in rows(text, ours[1]) if row.remote == ours):
        owner = _Owner(row.uid, row.inode) if row.inode and row.state in _CONNECTED else None
        owners[row.local] = owner if owners.get(row.local, owner) == owner else None
    return owners


def _address(digits: str) -> str:
    """Return an address in the usual notation. The table shows it as 32-bit words in the machine's byte order."""
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words).removeprefix(_MAPPED)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _is_open(connection: socket.socket) -> bool:
    if sys.platform == "linux":
        try:
            # tcpi_state, the first byte of `struct tcp_info`.
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _OUR_END
        except OSError:
            return False
    else:
        return True
