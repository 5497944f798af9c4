"""The audit log: the caller, the action, the time and the outcome of each event. It never contains a secret's value.

Always: each entry is a sealed row, and the store's head has the set hash of all entries. A changed, moved or missing
entry is therefore found. Identical events within a short time share one entry, which has a count. Functions and methods
take an open transaction.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from claude_secrets.keys.cipher import Envelope
from claude_secrets.store.transaction import Transaction, tampered

KEPT_SECONDS: Final = 90 * 86_400
"""The minimum time that an event is kept. `REFUSALS_KEPT` is an exception for actions that were not done."""

REFUSALS_KEPT: Final = 10_000
"""If there are more entries than this for actions that were not done, the oldest ones may be removed early."""

TOGETHER_SECONDS: Final = 3600
"""Identical refusals or questions of one process within this time share an entry. An agent can cause any number."""

DONE_TOGETHER_SECONDS: Final = 60
"""Identical actions of one process that were done within this time share an entry."""


class Caller(StrEnum):
    """The cause of an event: an agent, a person, or the audit log itself, which removes old entries (LOG)."""

    AGENT = "agent"
    PERSON = "person"
    LOG = "log"


class EventOutcome(StrEnum):
    """The outcome of an event. NOTHING means that there was nothing to do."""

    DONE = "done"
    NOTHING = "nothing"
    REFUSED = "refused"
    ASKED = "asked"


_CUT_EVERY: Final = 500
_CUT_AT_ONCE: Final = 2000
_REMEMBERED: Final = 1000


class LogEvent(NamedTuple):
    """An event that happened once or several times. All fields are text; a field that does not apply is empty.

    `caller` is a value of `Caller`, and `outcome` is a value of `EventOutcome`. Both can also be other text that a
    later version of this program wrote. `action` is the name of a tool or a command. `channel` is the way in which the
    person was asked. `client` is the name that the agent's client program reports. `code` and `rule` give the reason
    for a refusal.
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


class LogEntry(NamedTuple):
    """An entry of the log: `event` happened `times` times between `first` and `last` (seconds since 1970)."""

    sequence: int
    event: LogEvent
    first: int
    last: int
    times: int


class AuditLog:
    """Writes the events of one process, and remembers recent entries in order to count identical events in them."""

    def __init__(self) -> None:
        self._recent: dict[LogEvent, tuple[LogEntry, bytes]] = {}

    def add(self, tx: Transaction, event: LogEvent) -> None:
        """Write one event. If a recent entry has an identical event, increase the count of that entry instead.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if self._count_again(tx, event):
            return
        now = int(tx.now)
        tx.amend(audit_sequence=tx.head.audit_sequence + 1)
        entry = LogEntry(sequence=tx.head.audit_sequence, event=event, first=now, last=now, times=1)
        if len(self._recent) >= _REMEMBERED:
            self._recent.clear()
        self._recent[event] = (entry, write(tx, entry))
        if entry.sequence % _CUT_EVERY == 0:
            cut(tx)

    def _count_again(self, tx: Transaction, event: LogEvent) -> bool:
        """Increase the count of a recent entry with an identical event. Returns False if there is no such entry."""
        now = int(tx.now)
        entry, before = self._recent.get(event, (None, b""))
        together = DONE_TOGETHER_SECONDS if event.outcome == EventOutcome.DONE else TOGETHER_SECONDS
        if entry is None or not 0 <= now - entry.first < together:
            return False
        entry = entry._replace(last=now, times=entry.times + 1)
        token, member = _sealed(tx, entry), _member(entry.sequence)
        # If the entry's transaction was rolled back, the entry is gone, and another process may have used its number.
        counted = tx.connection.execute(
            "UPDATE audit SET token = ? WHERE sequence = ? AND token = ?", (token, entry.sequence, before)
        )
        if counted.rowcount == 0:
            return False
        total = tx.cipher.set_remove(tx.head.audit, member, before)
        tx.amend(audit=tx.cipher.set_add(total, member, token))
        self._recent[event] = (entry, token)
        return True


def entries(tx: Transaction) -> Iterator[LogEntry]:
    """Yield all entries, oldest first.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    for row in tx.rows("SELECT sequence, refused, token FROM audit ORDER BY sequence"):
        yield _open_entry(tx, *row)


def verify(tx: Transaction) -> int:
    """Open all entries and verify them against the store's head. Returns the number of entries.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    total, count, sequence = "0", 0, 0
    for sequence, refused, token in tx.rows("SELECT sequence, refused, token FROM audit ORDER BY sequence"):
        _open_entry(tx, sequence, refused, token)
        total = tx.cipher.set_add(total, _member(sequence), token)
        count += 1
    if (total, sequence) != (tx.head.audit, tx.head.audit_sequence):
        raise tampered("an event of the log")
    return count


def write(tx: Transaction, entry: LogEntry) -> bytes:
    """Write an entry to the row with the number `entry.sequence`, and return the entry's token."""
    token = _sealed(tx, entry)
    tx.connection.execute("INSERT INTO audit VALUES (?, ?, ?)", (entry.sequence, _flag(entry.event), token))
    tx.amend(audit=tx.cipher.set_add(tx.head.audit, _member(entry.sequence), token))
    return token


def _sealed(tx: Transaction, entry: LogEntry) -> bytes:
    fields = {**entry.event._asdict(), "first": entry.first, "last": entry.last, "count": entry.times}
    return tx.seal("audit", str(entry.sequence), fields)


def _remove(tx: Transaction, sequence: int, token: bytes) -> None:
    tx.connection.execute("DELETE FROM audit WHERE sequence = ?", (sequence,))
    tx.amend(audit=tx.cipher.set_remove(tx.head.audit, _member(sequence), token))


def _flag(event: LogEvent) -> int:
    """Return the value of the column `refused`: 1 if the action was not done, otherwise 0."""
    return int(event.outcome != EventOutcome.DONE)


def _open_entry(tx: Transaction, sequence: int, refused: int, token: bytes) -> LogEntry:
    envelope = tx.open("audit", str(sequence), token)
    event = _event(envelope)
    if refused != _flag(event):
        raise tampered("an event of the log")
    return LogEntry(
        sequence=sequence,
        event=event,
        first=envelope.number("first"),
        last=envelope.number("last"),
        times=envelope.number("count"),
    )


def _event(envelope: Envelope) -> LogEvent:
    return LogEvent(**{key: envelope.text(key) for key in LogEvent._fields})


def cut(tx: Transaction) -> None:
    """Remove expired and surplus entries, a limited number at a time, and log the removal."""
    old = tx.connection.execute(
        "SELECT sequence, refused, token FROM audit ORDER BY sequence LIMIT ?", (_CUT_AT_ONCE,)
    ).fetchall()
    gone = []
    for row in old:
        if _open_entry(tx, *row).last > tx.now - KEPT_SECONDS:
            break
        gone.append(row)
    surplus = tx.connection.execute("SELECT count(*) FROM audit WHERE refused = 1").fetchone()[0] - REFUSALS_KEPT
    if surplus > 0:
        gone += tx.connection.execute(
            "SELECT sequence, refused, token FROM audit WHERE refused = 1 ORDER BY sequence LIMIT ?",
            (min(surplus, _CUT_AT_ONCE),),
        ).fetchall()
    rows = {row[0]: row for row in gone}
    for sequence, _, token in rows.values():
        _remove(tx, sequence, token)
    if rows:
        tx.amend(audit_sequence=tx.head.audit_sequence + 1)
        event, now = LogEvent(caller=Caller.LOG, action="cut", outcome=EventOutcome.DONE), int(tx.now)
        write(tx, LogEntry(sequence=tx.head.audit_sequence, event=event, first=now, last=now, times=len(rows)))


def _member(sequence: int) -> bytes:
    return str(sequence).encode("ascii")
