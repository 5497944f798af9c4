"""The stored values of one record as rows: each is sealed for its place, and the record's history covers them all.

Always: a row opens only at the place for which it was sealed. A function that adds or removes a row returns the new
history, and its caller must write that into the record's head.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from claude_secrets.keys.cipher import Envelope, sealed_at
from claude_secrets.model import EnteredBy
from claude_secrets.store.transaction import Transaction, tampered

KEPT_SECONDS: Final = 30 * 86_400
"""How long a version is kept, at least, after a newer one replaced it."""

_EVICTED_AT_ONCE: Final = 100
_BINDING: Final = frozenset({"store", "generation", "kind", "place"})


class Version(NamedTuple):
    """The facts about one stored value, without the value. Times are seconds since 1970; `deleted` marks a deletion."""

    number: int
    deleted: bool
    origin: str
    created: int
    entered_by: EnteredBy
    expires: int | None = None
    note: str | None = None

    @classmethod
    def from_envelope(cls, number: int, envelope: Envelope) -> "Version":
        """Read a row's envelope. Raises `EnvelopeMismatch` if a field is missing."""
        return cls(
            number=number,
            deleted=envelope.flag("deleted"),
            origin=envelope.text("origin"),
            created=envelope.number("created"),
            entered_by=EnteredBy(envelope.text("entered_by")),
            expires=envelope.optional_number("expires"),
            note=envelope.optional_text("note"),
        )


def place(key: bytes, number: int) -> str:
    """The place of the version with that number, as its envelope repeats it."""
    return f"{key.hex()}:{number}"


def member(key: bytes, number: int) -> bytes:
    """The version's key in the record's history."""
    return place(key, number).encode("ascii")


def newest(tx: Transaction, key: bytes) -> int | None:
    """Return the number of the newest version, or None if there is none."""
    row = tx.connection.execute("SELECT max(version) FROM versions WHERE record = ?", (key,)).fetchone()
    number: int | None = row[0]
    return number


def open_envelope(tx: Transaction, key: bytes, number: int) -> Envelope:
    """Open one version.

    Raises:
        StoreError: STORE_TAMPERED, also if the version is missing.
    """
    row = tx.connection.execute("SELECT token FROM versions WHERE record = ? AND version = ?", (key, number)).fetchone()
    if row is None:
        raise tampered("a version")
    return tx.open("version", place(key, number), row[0])


def iterate_all(tx: Transaction, key: bytes, history: str) -> Iterator[tuple[int, Envelope]]:
    """Yield all versions, the oldest first, and compare them with `history` at the end.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    total = "0"
    for number, token in tx.rows("SELECT version, token FROM versions WHERE record = ? ORDER BY version", key):
        yield number, tx.open("version", place(key, number), token)
        total = tx.cipher.set_add(total, member(key, number), token)
    if total != history:
        raise tampered("a version")


def insert(tx: Transaction, key: bytes, number: int, *, fields: dict[str, object], payload: bytes, history: str) -> str:
    """Write one version and return the history that includes it."""
    token = tx.seal("version", place(key, number), fields, payload)
    tx.connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (key, number, token))
    return tx.cipher.set_add(history, member(key, number), token)


def remove(tx: Transaction, key: bytes, number: int, history: str) -> str:
    """Remove one version and return the history without it."""
    token = tx.connection.execute(
        "DELETE FROM versions WHERE record = ? AND version = ? RETURNING token", (key, number)
    ).fetchone()[0]
    return tx.cipher.set_remove(history, member(key, number), token)


def own_fields(envelope: Envelope) -> dict[str, object]:
    """A version's own fields, without those that bind it to its place. Sealing adds those of the new place."""
    return {key: value for key, value in envelope.fields.items() if key not in _BINDING}


def evict(tx: Transaction, key: bytes, history: str, *, keep: int, by: EnteredBy) -> str:
    """Remove versions that need not be kept when `by` stores another one, and return the history without them.

    The newest `keep` stay. A version that was replaced less than `KEPT_SECONDS` ago also stays. For the oldest version
    that time is read from its successor's token without opening it, so sealing the successor again keeps the version
    longer. A value that a person entered is removed only when a person stores, and only if a person also entered
    `keep` newer values.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    row = tx.connection.execute(
        "SELECT version FROM versions WHERE record = ? ORDER BY version DESC LIMIT 1 OFFSET ?", (key, keep)
    ).fetchone()
    if row is None or _oldest_is_young(tx, key):
        return history
    protected = _protected(tx, key, keep) if by is EnteredBy.PERSON else None
    gone: list[int] = []
    for version, successor in pairwise(_oldest_first(tx, key)):
        if version.number > row[0] or successor.created > tx.now - KEPT_SECONDS or len(gone) == _EVICTED_AT_ONCE:
            break
        is_value_of_person = version.entered_by is EnteredBy.PERSON and not version.deleted
        if not is_value_of_person or (protected is not None and version.number not in protected):
            gone.append(version.number)
    for number in gone:
        history = remove(tx, key, number, history)
    return history


def _oldest_is_young(tx: Transaction, key: bytes) -> bool:
    """Whether the oldest version was replaced too recently to go, by the time in its successor's unopened token."""
    row = tx.connection.execute(
        "SELECT token FROM versions WHERE record = ? ORDER BY version LIMIT 1 OFFSET 1", (key,)
    ).fetchone()
    return row is not None and sealed_at(row[0]) > tx.now - KEPT_SECONDS


def _oldest_first(tx: Transaction, key: bytes) -> Iterator[Version]:
    for number, token in tx.rows("SELECT version, token FROM versions WHERE record = ? ORDER BY version", key):
        yield Version.from_envelope(number, tx.open("version", place(key, number), token))


def _protected(tx: Transaction, key: bytes, keep: int) -> frozenset[int]:
    """The numbers of the newest `keep` values that a person entered."""
    numbers: list[int] = []
    for number, token in tx.rows("SELECT version, token FROM versions WHERE record = ? ORDER BY version DESC", key):
        version = Version.from_envelope(number, tx.open("version", place(key, number), token))
        if version.entered_by is EnteredBy.PERSON and not version.deleted:
            numbers.append(number)
        if len(numbers) == keep:
            break
    return frozenset(numbers)
