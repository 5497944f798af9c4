"""Counters: how often something happened in a project, counted across processes and restarts.

Always: a count is spent in the transaction of the write it counts, so that a write that fails gives it back;
counted by project, whatever the client calls itself; windows that are over leave the table when another one comes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from claude_secrets.model import Tool
from claude_secrets.policy import Window, count_bytes, count_one, store_too_large
from claude_secrets.rules import Applied
from claude_secrets.transaction import Transaction

_BYTES: Final = "bytes"
"""What the bytes of values that agents store are counted under."""


class Spent(NamedTuple):
    """A counter with one call, or the bytes of one value, more in it; it is not in the store yet."""

    project: str
    what: str
    window: Window


def check(tx: Transaction, *, projects: Iterable[str], applied: Sequence[Applied], tool: Tool) -> list[Spent]:
    """What one more call of `tool` makes of its limits, which hold in each of `projects`; nothing is counted yet.

    Raises:
        DeniedError: RATE_LIMITED.
        StoreError: STORE_TAMPERED.
    """
    spent = []
    for project in projects:
        for one in applied:
            window = count_one(_window(tx, project, one.counter), applied=one, tool=tool, now=tx.now)
            spent.append(Spent(project, one.counter, window))
    return spent


def check_size(tx: Transaction, *, projects: Iterable[str], size: int, per_minute: int, total: int) -> list[Spent]:
    """What a value from an agent makes of what its projects store in a minute; all in bytes.

    `total` is the size of the store up to which agents may fill it.

    Raises:
        DeniedError: RATE_LIMITED.
        StoreError: STORE_FULL where the store is as large as agents may make it; STORE_TAMPERED.
    """
    if not size:
        return []
    if tx.size() + size > total:
        raise store_too_large(total)
    windows = ((project, _window(tx, project, _BYTES)) for project in projects)
    return [
        Spent(project, _BYTES, count_bytes(window, size=size, limit=per_minute, now=tx.now))
        for project, window in windows
    ]


def spend(tx: Transaction, spent: Iterable[Spent]) -> None:
    """Count what `check` gave."""
    for one in spent:
        _write(tx, *one)


def remember(tx: Transaction, *, project: str, what: str, seconds: int) -> None:
    """Remember for so long that something happened in a project."""
    _write(tx, project, what, Window(tx.now, calls=1, seconds=seconds))


def remembers(tx: Transaction, *, project: str, what: str) -> bool:
    """Whether something is remembered still."""
    window = _window(tx, project, what)
    return window is not None and window.at(tx.now) == window


def verify(tx: Transaction) -> None:
    """Hold all counters against the store's head and open each.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    tx.verify_table("counters", tx.head.counters)
    for place, token in tx.connection.execute("SELECT place, token FROM counters").fetchall():
        _opened(tx, place, token)


def _write(tx: Transaction, project: str, what: str, window: Window) -> None:
    tx.verify_table("counters", tx.head.counters)
    place = _place(tx, project, what)
    fields: dict[str, object] = {
        "start": int(window.start * 1000),
        "count": window.calls,
        "before": window.before,
        "seconds": int(window.seconds),
    }
    token = tx.seal("counter", place.hex(), fields)
    if tx.connection.execute("UPDATE counters SET token = ? WHERE place = ?", (token, place)).rowcount == 0:
        _forget_past(tx)  # where one comes, others may go
        tx.connection.execute("INSERT INTO counters VALUES (?, ?)", (place, token))
    tx.head = tx.head._replace(counters=tx.table_digest("counters"))
    tx.dirty = True


def _window(tx: Transaction, project: str, what: str) -> Window | None:
    tx.verify_table("counters", tx.head.counters)
    place = _place(tx, project, what)
    row = tx.connection.execute("SELECT token FROM counters WHERE place = ?", (place,)).fetchone()
    return None if row is None else _opened(tx, place, row[0])


def _forget_past(tx: Transaction) -> None:
    for place, token in tx.connection.execute("SELECT place, token FROM counters").fetchall():
        if _opened(tx, place, token).is_over(tx.now):
            tx.connection.execute("DELETE FROM counters WHERE place = ?", (place,))


def _opened(tx: Transaction, place: bytes, token: bytes) -> Window:
    envelope = tx.open("counter", place.hex(), token)
    calls, before, seconds = (envelope.number(key) for key in ("count", "before", "seconds"))
    return Window(envelope.number("start") / 1000, calls, before, seconds)


def _place(tx: Transaction, project: str, what: str) -> bytes:
    return tx.cipher.index("counter", project, what)
