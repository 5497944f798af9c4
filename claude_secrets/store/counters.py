"""Counters: how often an action happened in a project. All processes share them, and they are kept after a restart.

Always: a count is written in the same transaction as the counted action, so a write that fails is not counted. A
counter belongs to a project and does not depend on the client's name. Expired counters are removed when a counter is
added. Each function takes an open transaction.
"""

from math import floor
from typing import Final, NamedTuple

from claude_secrets.store.transaction import Transaction

WINDOW_SECONDS: Final = 60.0
"""The default length of a counter's time window."""


class Window(NamedTuple):
    """The number of calls in a time window, and in the window before it.

    The window starts at `start` (seconds since 1970) and lasts `seconds`. Both numbers together approximate a sliding
    window: `before` is multiplied by the fraction of the earlier window that the sliding window still covers.
    """

    start: float
    calls: int = 0
    before: int = 0
    seconds: float = WINDOW_SECONDS

    def at(self, now: float) -> "Window":
        """Return the window that contains `now`. Setting the clock back by less than `seconds` keeps the counts."""
        windows = floor((now - self.start) / self.seconds)
        if windows in (-1, 0):
            return self
        before = self.calls if windows == 1 else 0
        return Window(self.start + self.seconds if before else now, 0, before, self.seconds)

    def is_over(self, now: float) -> bool:
        """Whether both numbers of calls are 0 in the window that contains `now`."""
        window = self.at(now)
        return window.calls == window.before == 0

    def wait(self, limit: int, now: float, amount: int = 1) -> float:
        """Return the seconds to wait until `amount` more calls are within `limit`.

        A result of 0 or less means that no wait is needed. `limit` must be at least `amount`.
        """
        elapsed, room = max(0.0, now - self.start), limit - amount
        if self.calls > room:  # the calls must wait for the next window, when fewer of this window's calls count
            return self.seconds * (2 - room / self.calls) - elapsed
        if self.calls + self.before <= room:
            return 0.0
        return self.seconds * (1 - (room - self.calls) / self.before) - elapsed


def remember(tx: Transaction, *, project: str, what: str, seconds: int) -> None:
    """Remember for `seconds` that `what` happened in a project."""
    write(tx, project, what, Window(tx.now, calls=1, seconds=seconds))


def remembers(tx: Transaction, *, project: str, what: str) -> bool:
    """Whether the store still remembers that `what` happened in a project."""
    stored = window(tx, project, what)
    return stored is not None and stored.at(tx.now) == stored


def verify_all(tx: Transaction) -> None:
    """Open all counters and verify them against the store's head.

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
        _forget_past(tx)  # expired counters are removed when a new one is added
        tx.connection.execute("INSERT INTO counters VALUES (?, ?)", (place, token))
    tx.amend(counters=tx.table_digest("counters"))


def window(tx: Transaction, project: str, what: str) -> Window | None:
    """Return the stored window of a counter, or None if there is no counter.

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
