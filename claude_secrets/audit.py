"""The audit log: who asked for what, when, and what came of it. Never a value.

Always: each event is a sealed row, and the store's head vouches for all of them, so that a changed, moved or missing
one is found; identical refusals in a row are one event with a count. Functions and methods take an open transaction.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from claude_secrets.cipher import Envelope
from claude_secrets.transaction import Transaction, tampered

KEPT_SECONDS: Final = 90 * 86_400
"""How long an event is kept at least, refusals beyond `REFUSALS_KEPT` aside."""

REFUSALS_KEPT: Final = 10_000
"""How many refusals are kept at least; older ones may go before their time, for agents can make any number."""

TOGETHER_SECONDS: Final = 3600
"""Identical refusals of one process within this time are one event."""

_CUT_EVERY: Final = 500
_CUT_AT_ONCE: Final = 2000
_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, once or several times. All text; what does not apply is empty.

    `caller` is `agent`, `person` or (for what the log does itself) `log`; `action` a tool's or a command's name;
    `channel` how a person was asked; `client` the program that the agent runs in, as it calls itself; `outcome` is
    `done`, `refused` or `asked`; `code` and `rule` say why it was refused.
    """

    caller: str
    action: str
    outcome: str
    project: str = ""
    scope: str = ""
    name: str = ""
    client: str = ""
    channel: str = ""
    code: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event as the log keeps it: `count` of them between `first` and `last` (seconds since 1970)."""

    sequence: int
    event: Event
    first: int
    last: int
    count: int


class AuditLog:
    """Writes the events of one process, and knows which refusals it has just written."""

    def __init__(self) -> None:
        self._recent: dict[Event, int] = {}

    def add(self, tx: Transaction, event: Event) -> None:
        """Write one event.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if event.outcome == "refused" and self._count_again(tx, event):
            return
        sequence = _append(tx, event)
        if event.outcome == "refused":
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[event] = sequence
        if sequence % _CUT_EVERY == 0:
            cut(tx)

    def _count_again(self, tx: Transaction, event: Event) -> bool:
        sequence = self._recent.get(event)
        row = None if sequence is None else _row(tx, sequence)
        if row is None:
            return False
        before = _opened(tx, *row)
        # A transaction that was rolled back took its event along; another's has the number now.
        if before.event != event or not 0 <= tx.now - before.first < TOGETHER_SECONDS:
            return False
        _remove(tx, *row)
        _write(tx, replace(before, last=int(tx.now), count=before.count + 1))
        return True


def entries(tx: Transaction) -> Iterator[Entry]:
    """All entries, the oldest first.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    for row in tx.rows("SELECT sequence, refused, token FROM audit ORDER BY sequence"):
        yield _opened(tx, *row)


def verify(tx: Transaction) -> int:
    """Hold all entries against the store's head and open each. Returns how many there are.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    total, count, sequence = "0", 0, 0
    for sequence, refused, token in tx.rows("SELECT sequence, refused, token FROM audit ORDER BY sequence"):
        _opened(tx, sequence, refused, token)
        total = tx.cipher.set_add(total, _member(sequence), token)
        count += 1
    if (total, sequence) != (tx.head.audit, tx.head.audit_sequence):
        raise tampered("an event of the log")
    return count


def _append(tx: Transaction, event: Event, count: int = 1) -> int:
    tx.head.audit_sequence += 1
    now = int(tx.now)
    _write(tx, Entry(sequence=tx.head.audit_sequence, event=event, first=now, last=now, count=count))
    return tx.head.audit_sequence


def _write(tx: Transaction, entry: Entry) -> None:
    fields = {**asdict(entry.event), "first": entry.first, "last": entry.last, "count": entry.count}
    token = tx.seal("audit", str(entry.sequence), fields)
    refused = int(entry.event.outcome == "refused")
    tx.connection.execute("INSERT INTO audit VALUES (?, ?, ?)", (entry.sequence, refused, token))
    tx.head.audit = tx.cipher.set_add(tx.head.audit, _member(entry.sequence), token)
    tx.dirty = True


def _remove(tx: Transaction, sequence: int, _refused: int, token: bytes) -> None:
    tx.connection.execute("DELETE FROM audit WHERE sequence = ?", (sequence,))
    tx.head.audit = tx.cipher.set_remove(tx.head.audit, _member(sequence), token)
    tx.dirty = True


def _row(tx: Transaction, sequence: int) -> tuple[int, int, bytes] | None:
    row: tuple[int, int, bytes] | None = tx.connection.execute(
        "SELECT sequence, refused, token FROM audit WHERE sequence = ?", (sequence,)
    ).fetchone()
    return row


def _opened(tx: Transaction, sequence: int, refused: int, token: bytes) -> Entry:
    envelope = tx.open("audit", str(sequence), token)
    event = _event(envelope)
    if refused != int(event.outcome == "refused"):
        raise tampered("an event of the log")
    return Entry(
        sequence=sequence,
        event=event,
        first=envelope.number("first"),
        last=envelope.number("last"),
        count=envelope.number("count"),
    )


def _event(envelope: Envelope) -> Event:
    return Event(**{key: envelope.text(key) for key in Event.__slots__})


def cut(tx: Transaction) -> None:
    """Let go of what is older than it has to be kept, a bounded number at once, and say so in the log."""
    old = tx.connection.execute(
        "SELECT sequence, refused, token FROM audit ORDER BY sequence LIMIT ?", (_CUT_AT_ONCE,)
    ).fetchall()
    gone = []
    for row in old:
        if _opened(tx, *row).last > tx.now - KEPT_SECONDS:
            break
        gone.append(row)
    surplus = tx.connection.execute("SELECT count(*) FROM audit WHERE refused = 1").fetchone()[0] - REFUSALS_KEPT
    if surplus > 0:
        gone += tx.connection.execute(
            "SELECT sequence, refused, token FROM audit WHERE refused = 1 ORDER BY sequence LIMIT ?",
            (min(surplus, _CUT_AT_ONCE),),
        ).fetchall()
    rows = {row[0]: row for row in gone}
    for row in rows.values():
        _remove(tx, *row)
    if rows:
        _append(tx, Event(caller="log", action="cut", outcome="done"), count=len(rows))


def _member(sequence: int) -> bytes:
    return str(sequence).encode("ascii")
