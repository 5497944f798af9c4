"""The stored values of one record as rows: each sealed for its place, all of them summed up in the record's history.

Always: a row is opened only for the place where it stands; whoever adds or takes one away gets the new history back
and has to put it into the record's head.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from claude_secrets.keys.cipher import Envelope, sealed_at
from claude_secrets.model import EnteredBy
from claude_secrets.store.transaction import Transaction, tampered

KEPT_SECONDS: Final = 30 * 86_400
"""How long a version is kept at least after another one took its place."""

_EVICTED_AT_ONCE: Final = 100
_BINDING: Final = frozenset({"store", "generation", "kind", "place"})


class Version(NamedTuple):
    """What is known of one stored value but the value. Times are seconds since 1970; `deleted`: it is a deletion."""

    number: int
    deleted: bool
    origin: str
    created: int
    entered_by: EnteredBy
    expires: int | None = None
    note: str | None = None

    @classmethod
    def from_envelope(cls, number: int, envelope: Envelope) -> "Version":
        """What a row's envelope says. Raises `EnvelopeMismatch` where a field is missing."""
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
    """Where the version of that number stands, as its envelope repeats it."""
    return f"{key.hex()}:{number}"


def member(key: bytes, number: int) -> bytes:
    """What the record's history holds the version under."""
    return place(key, number).encode("ascii")


def newest(tx: Transaction, key: bytes) -> int | None:
    """The number of the newest version, None where there is none."""
    row = tx.connection.execute("SELECT max(version) FROM versions WHERE record = ?", (key,)).fetchone()
    number: int | None = row[0]
    return number


def open_envelope(tx: Transaction, key: bytes, number: int) -> Envelope:
    """One version.

    Raises:
        StoreError: STORE_TAMPERED, also where it is not there.
    """
    row = tx.connection.execute("SELECT token FROM versions WHERE record = ? AND version = ?", (key, number)).fetchone()
    if row is None:
        raise tampered("a version")
    return tx.open("version", place(key, number), row[0])


def iterate_all(tx: Transaction, key: bytes, history: str) -> Iterator[tuple[int, Envelope]]:
    """All versions, the oldest first; at the end all of them are held against `history`.

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
    """Write one version and return the history with it."""
    token = tx.seal("version", place(key, number), fields, payload)
    tx.connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (key, number, token))
    return tx.cipher.set_add(history, member(key, number), token)


def remove(tx: Transaction, key: bytes, number: int, history: str) -> str:
    """Take one version away and return the history without it."""
    token = tx.connection.execute(
        "DELETE FROM versions WHERE record = ? AND version = ? RETURNING token", (key, number)
    ).fetchone()[0]
    return tx.cipher.set_remove(history, member(key, number), token)


def own_fields(envelope: Envelope) -> dict[str, object]:
    """A version's own fields, without those that bind it to its place (sealing adds the new place's)."""
    return {key: value for key, value in envelope.fields.items() if key not in _BINDING}


def evict(tx: Transaction, key: bytes, history: str, *, keep: int, by: EnteredBy) -> str:
    """Let go of versions that need not be kept when `by` stores one more, and return the history without them.

    The newest `keep` stay, and so does whatever another version replaced less than `KEPT_SECONDS` ago (or that one was
    sealed anew since: it is not opened to look). What a person entered goes only when a person stores, and only where
    `keep` newer values were entered by a person too.

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
    """Whether the oldest version was replaced too recently to go; told by when its successor was sealed, unopened."""
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
