"""Importing: what storing names and values from elsewhere would change, and storing exactly that, all or nothing.

Always: one transaction; what is stored is what was shown, or nothing is; no value in a `repr`. The faces call it with
the `Person` who asks.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from claude_secrets.errors import Code, StoreError
from claude_secrets.person import others_secrets, secrets
from claude_secrets.person.import_files import ImportedEntry
from claude_secrets.person.person import Person
from claude_secrets.store import records
from claude_secrets.store.records import Stored
from claude_secrets.store.transaction import Transaction


class Change(StrEnum):
    """What storing an entry does."""

    NEW = "new"
    SAME = "same"
    OVERWRITES = "overwrites"
    BRINGS_BACK = "brings back"


class Planned(NamedTuple):
    """An entry, what storing it does, the version that is there now (0: none), and where that was stored.

    `origin` is empty where it was here, or this project was let use it.
    """

    entry: ImportedEntry
    change: Change
    version: int
    origin: str = ""


def preview(person: Person, entries: Iterable[ImportedEntry]) -> list[Planned]:
    """What storing the entries would do, in their order.

    Raises:
        CustodyError: the key cannot be had.
        StoreError: the store cannot be read.
    """
    if not person.store.exists():
        return [Planned(entry, Change.NEW, 0) for entry in entries]
    with person.store.read() as tx:
        return [_planned(tx, person, entry) for entry in entries]


def carry_out(person: Person, shown: Sequence[Planned]) -> list[Stored]:
    """Store what was shown; in a project they become its own, or the project is let use them.

    Raises:
        StoreError: STORE_BUSY where the store has changed since; or it cannot be written. Nothing is stored then.
    """
    with person.store.write() as tx:
        if any(_planned(tx, person, each.entry) != each for each in shown):
            raise StoreError(
                Code.STORE_BUSY, "The store was changed since this was shown; nothing was imported.", "Try again."
            )
        return [secrets.put(person, tx, each.entry.name, each.entry.value, action="import") for each in shown]


def _planned(tx: Transaction, person: Person, entry: ImportedEntry) -> Planned:
    record = records.find(tx, person.scope, entry.name)
    if record is None:
        return Planned(entry, Change.NEW, 0)
    if record.deleted:
        return Planned(entry, Change.BRINGS_BACK, record.version)
    same = records.value(tx, record) == entry.value
    origin = "" if others_secrets.is_own(tx, person, record) else record.origin
    return Planned(entry, Change.SAME if same else Change.OVERWRITES, record.version, origin)
