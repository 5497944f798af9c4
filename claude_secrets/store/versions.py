"""The versions of a record: each version is a sealed row, and the record's history is the set hash of all versions.

Always: opening a version fails unless it is in the row that it was sealed for. A function that adds or removes a
version returns the new history, and the caller must write this history to the record's head.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from claude_secrets.keys.cipher import Envelope, sealed_at
from claude_secrets.model import EnteredBy
from claude_secrets.store.transaction import Transaction, tampered

KEPT_SECONDS: Final = 30 * 86_400
"""The minimum time that a version is kept after a newer version replaced it."""

_EVICTED_AT_ONCE: Final = 100
_BINDING: Final = frozenset({"store", "generation", "kind", "place"})


class Version(NamedTuple):
    """The metadata of one version, without the value. Times are seconds since 1970. A deletion has `deleted` true."""

    number: int
    deleted: bool
    origin: str
    created: int
    entered_by: EnteredBy
    expires: int | None = None
    note: str | None = None

    @classmethod
    def from_envelope(cls, number: int, envelope: Envelope) -> "Version":
        """Return the metadata in a version's envelope. Raises `EnvelopeMismatch` if a field is missing."""
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
    """Return the field `place` of a version's envelope."""
    return f"{key.hex()}:{number}"


def member(key: bytes, number: int) -> bytes:
    """Return the key of a version in the set hash of the record's versions."""
    return place(key, number).encode("ascii")


def newest(tx: Transaction, key: bytes) -> int | None:
    """Return the number of the newest version, or None if there is no version."""
    row = tx.connection.execute("SELECT max(version) FROM versions WHERE record = ?", (key,)).fetchone()
    number: int | None = row[0]
    return number


def open_envelope(tx: Transaction, key: bytes, number: int) -> Envelope:
    """Open the token of one version and return its envelope.

    Raises:
        StoreError: STORE_TAMPERED, also if the version is missing.
    """
    row = tx.connection.execute("SELECT token FROM versions WHERE record = ? AND version = ?", (key, number)).fetchone()
    if row is None:
        raise tampered("a version")
    return tx.open("version", place(key, number), row[0])


def iterate_all(tx: Transaction, key: bytes, history: str) -> Iterator[tuple[int, Envelope]]:
    """Yield all versions of a record, oldest first, and finally verify them against `history`.

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
    """Write one version, and return `history` with this version added."""
    token = tx.seal("version", place(key, number), fields, payload)
    tx.connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (key, number, token))
    return tx.cipher.set_add(history, member(key, number), token)


def remove(tx: Transaction, key: bytes, number: int, history: str) -> str:
    """Remove one version, and return `history` without this version."""
    token = tx.connection.execute(
        "DELETE FROM versions WHERE record = ? AND version = ? RETURNING token", (key, number)
    ).fetchone()[0]
    return tx.cipher.set_remove(history, member(key, number), token)


def own_fields(envelope: Envelope) -> dict[str, object]:
    """Return a version's fields without those that bind it to its row. Sealing adds the binding fields of a new row."""
    return {key: value for key, value in envelope.fields.items() if key not in _BINDING}


def evict(tx: Transaction, key: bytes, history: str, *, keep: int, by: EnteredBy) -> str:
    """Remove old versions after `by` has added a new version. Return the history without the removed versions.

    The newest `keep` versions are never removed, and a version is kept for `KEPT_SECONDS` after it was replaced. For
    the oldest version, the time of replacement is the time in the next version's token, which is not opened. If the
    next version is sealed again, the oldest version is therefore kept longer. A value that a person entered is removed
    only if `by` is the person, and only if a person entered at least `keep` newer values.

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
    """Whether the oldest version was replaced too recently to be removed. The next version's token shows the time."""
    row = tx.connection.execute(
        "SELECT token FROM versions WHERE record = ? ORDER BY version LIMIT 1 OFFSET 1", (key,)
    ).fetchone()
    return row is not None and sealed_at(row[0]) > tx.now - KEPT_SECONDS


def _oldest_first(tx: Transaction, key: bytes) -> Iterator[Version]:
    for number, token in tx.rows("SELECT version, token FROM versions WHERE record = ? ORDER BY version", key):
        yield Version.from_envelope(number, tx.open("version", place(key, number), token))


def _protected(tx: Transaction, key: bytes, keep: int) -> frozenset[int]:
    """Return the version numbers of the newest `keep` values that a person entered."""
    numbers: list[int] = []
    for number, token in tx.rows("SELECT version, token FROM versions WHERE record = ? ORDER BY version DESC", key):
        version = Version.from_envelope(number, tx.open("version", place(key, number), token))
        if version.entered_by is EnteredBy.PERSON and not version.deleted:
            numbers.append(number)
        if len(numbers) == keep:
            break
    return frozenset(numbers)
