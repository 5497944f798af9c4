"""Counters: how often something happened in a project, across processes and restarts.

Always: a count is written in the same transaction as the counted action, so a write that fails is not counted. Counts
are by project, whatever name the client gives itself. When a counter is added, expired ones are removed. Each function
takes an open transaction.
"""

from math import floor
from typing import Final, NamedTuple

from claude_secrets.store.transaction import Transaction

WINDOW_SECONDS: Final = 60.0
"""The default length of a window."""


class Window(NamedTuple):
    """How often something happened in a window of `seconds` since `start` (seconds since 1970), and in the one before.

    The two approximate a sliding window: the one before counts in proportion to its overlap.
    """

    start: float
    calls: int = 0
    before: int = 0
    seconds: float = WINDOW_SECONDS

    def at(self, now: float) -> "Window":
        """Return the window that contains `now`. A clock set back by less than a window does not reset it."""
        windows = floor((now - self.start) / self.seconds)
        if windows in (-1, 0):
            return self
        before = self.calls if windows == 1 else 0
        return Window(self.start + self.seconds if before else now, 0, before, self.seconds)

    def is_over(self, now: float) -> bool:
        """Whether at `now` every call in this window is too old to count."""
        window = self.at(now)
        return window.calls == window.before == 0

    def wait(self, limit: int, now: float, amount: int = 1) -> float:
        """Return the seconds until `amount` more calls fit in `limit` (at least `amount`); 0 or less: they fit now."""
        elapsed, room = max(0.0, now - self.start), limit - amount
        if self.calls > room:  # they fit in the next window, when enough of this one no longer counts
            return self.seconds * (2 - room / self.calls) - elapsed
        if self.calls + self.before <= room:
            return 0.0
        return self.seconds * (1 - (room - self.calls) / self.before) - elapsed


def remember(tx: Transaction, *, project: str, what: str, seconds: int) -> None:
    """Remember for `seconds` that something happened in a project."""
    write(tx, project, what, Window(tx.now, calls=1, seconds=seconds))


def remembers(tx: Transaction, *, project: str, what: str) -> bool:
    """Whether something is still remembered."""
    stored = window(tx, project, what)
    return stored is not None and stored.at(tx.now) == stored


def verify_all(tx: Transaction) -> None:
    """Open all counters and compare them with the store's head.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    tx.verify_table("counters", tx.head.counters)
    for place, token in tx.connection.execute("SELECT place, token FROM counters").fetchall():
        _open_window(tx, place, token)


def write(tx: Transaction, project: str, what: str, window: Window) -> None:
    """Store a counter."""
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
        _forget_past(tx)  # a new row is the occasion to remove expired ones
        tx.connection.execute("INSERT INTO counters VALUES (?, ?)", (place, token))
    tx.amend(counters=tx.table_digest("counters"))


def window(tx: Transaction, project: str, what: str) -> Window | None:
    """Return a counter as it is stored, or None.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    tx.verify_table("counters", tx.head.counters)
    place = _place(tx, project, what)
    row = tx.connection.execute("SELECT token FROM counters WHERE place = ?", (place,)).fetchone()
    return None if row is None else _open_window(tx, place, row[0])


def _forget_past(tx: Transaction) -> None:
    for place, token in tx.connection.execute("SELECT place, token FROM counters").fetchall():
        if _open_window(tx, place, token).is_over(tx.now):
            tx.connection.execute("DELETE FROM counters WHERE place = ?", (place,))


def _open_window(tx: Transaction, place: bytes, token: bytes) -> Window:
    envelope = tx.open("counter", place.hex(), token)
    calls, before, seconds = (envelope.number(key) for key in ("count", "before", "seconds"))
    return Window(envelope.number("start") / 1000, calls, before, seconds)


def _place(tx: Transaction, project: str, what: str) -> bytes:
    return tx.cipher.index("counter", project, what)
