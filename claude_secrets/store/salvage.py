"""Read a damaged store: recover every record that can still be opened, independently of other records.

Always: the store is not changed. A row is recovered only if it was sealed for the row key under which it was found. The
field `wrong` of each result describes what is lost. `examine` takes an open transaction, which need not have verified
the whole store.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from claude_secrets.errors import StoreError
from claude_secrets.keys.cipher import Envelope
from claude_secrets.model import SHARED, Access, EnteredBy
from claude_secrets.store import records, versions
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction
from claude_secrets.store.versions import Version

_KEYS = (
    "SELECT record FROM records ORDER BY record",
    "SELECT record FROM records ORDER BY record DESC",
    "SELECT record FROM versions ORDER BY record",
    "SELECT record FROM versions ORDER BY record DESC",
    "SELECT record FROM versions NOT INDEXED ORDER BY rowid",
    "SELECT record FROM versions NOT INDEXED ORDER BY rowid DESC",
)
_NUMBERS = (
    "SELECT version FROM versions WHERE record = ? ORDER BY version",
    "SELECT version FROM versions WHERE record = ? ORDER BY version DESC",
    "SELECT version FROM versions NOT INDEXED WHERE record = ? ORDER BY rowid",
    "SELECT version FROM versions NOT INDEXED WHERE record = ? ORDER BY rowid DESC",
)
_TOKENS = (
    "SELECT token FROM versions WHERE record = ? AND version = ?",
    "SELECT token FROM versions NOT INDEXED WHERE record = ? AND version = ? ORDER BY rowid",
    "SELECT token FROM versions NOT INDEXED WHERE record = ? AND version = ? ORDER BY rowid DESC",
)


class Examined(NamedTuple):
    """The result of examining one record: the record, its readable versions, and a description of each damage.

    `record` is None if no version can be read. If the newest value is lost, the record is marked as deleted, so that no
    older value is mistaken for the newest value.
    """

    record: Record | None
    rows: tuple[tuple[int, Envelope], ...]
    wrong: tuple[str, ...]


def examine(tx: Transaction, progress: Callable[[int, int], None]) -> Iterator[Examined]:
    """Examine every record of which at least one row is found, in no particular order.

    `progress` is called with the number of records that are done, and the total.
    """
    keys = sorted(key for key in _values(tx, _KEYS) if isinstance(key, bytes))
    for done, key in enumerate(keys, start=1):
        yield _examined(tx, key)
        progress(done, len(keys))


def _examined(tx: Transaction, key: bytes) -> Examined:
    record = _head(tx, key)
    numbers = sorted(number for number in _values(tx, _NUMBERS, key) if isinstance(number, int))
    opened = {number: envelope for number in numbers if (envelope := _version(tx, key, number)) is not None}
    lost = [number for number in numbers if number not in opened]
    if record is None:
        return _without_head(tx, key, opened)
    about = f"'{record.name}' of scope '{record.scope}'"
    wrong = [f"version {number} of {about} is damaged" for number in lost]
    if not opened:
        return Examined(None, (), (f"{about} is lost: none of its values can be read",))
    if record.version not in opened:
        wrong.append(f"the newest value of {about} is lost; its earlier values are kept")
        record = record._replace(deleted=True)
        opened[record.version] = Envelope(_deletion(record), b"")
    elif not wrong and not _fits(tx, record):
        wrong.append(f"versions of {about} were removed, added or rolled back")
    if (number := max(opened)) > record.version:  # the version was sealed after the head, so the version is current
        later = Version.from_envelope(number, opened[number])
        record = record._replace(version=number, deleted=later.deleted, revision=opened[number].number("revision"))
    newest = opened[record.version]
    fitting = {**versions.own_fields(newest), "revision": record.revision, "deleted": record.deleted}
    opened[record.version] = Envelope(fitting, newest.payload)
    return Examined(record, tuple(sorted(opened.items(), key=lambda row: row[0])), tuple(wrong))


def _without_head(tx: Transaction, key: bytes, opened: dict[int, Envelope]) -> Examined:
    """Return a record whose name cannot be read. Its new name is `recovered-` and the start of its row key.

    Its access is `use-only`, so that no agent gets the value.
    """
    name = f"recovered-{key.hex()[:12]}"
    if not opened:
        return Examined(None, (), (f"a record is lost: neither its name nor a value can be read ({name[10:]})",))
    number = max(opened)
    newest = Version.from_envelope(number, opened[number])
    record = Record(
        name=name,
        scope=SHARED,
        origin=newest.origin,
        access=Access.USE_ONLY,
        version=number,
        deleted=newest.deleted,
        revision=opened[number].number("revision"),
        history="0",
        updated=int(tx.now),
        entered_by=newest.entered_by,
        expires=newest.expires,
        note=newest.note,
    )
    wrong = f"a record's name cannot be read; its values are kept as '{name}'"
    return Examined(record, tuple(sorted(opened.items(), key=lambda row: row[0])), (wrong,))


def _deletion(record: Record) -> dict[str, object]:
    return {
        "access": record.access.value,
        "origin": record.origin,
        "created": record.updated,
        "entered_by": EnteredBy.PERSON.value,
        "expires": None,
        "note": None,
    }


def _fits(tx: Transaction, record: Record) -> bool:
    with suppress(StoreError, sqlite3.Error):
        records.history(tx, record)
        return records.find(tx, record.scope, record.name) == record
    return False


def _head(tx: Transaction, key: bytes) -> Record | None:
    with suppress(StoreError, sqlite3.Error):
        row = tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,)).fetchone()
        return None if row is None else records.open_head(tx, key, row[0])
    return None


def _version(tx: Transaction, key: bytes, number: int) -> Envelope | None:
    """Return one version, or None. The queries are tried in order until one of them finds a token that opens."""
    for statement in _TOKENS:
        with suppress(StoreError, sqlite3.Error):
            for (token,) in tx.connection.execute(statement, (key, number)):
                return tx.open("version", versions.place(key, number), token)
    return None


def _values(tx: Transaction, statements: tuple[str, ...], *parameters: object) -> set[object]:
    """Return all values that the queries find. Each query searches in another order and stops at a damaged page."""
    values: set[object] = set()
    for number, statement in enumerate(statements):
        with suppress(sqlite3.Error):
            for (value,) in tx.connection.execute(statement, parameters):
                values.add(value)
            if statements is _NUMBERS and number == 0:  # the index was read to its end, so nothing is left to find
                break
    return values
