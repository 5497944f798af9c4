"""Importing: preview what storing imported names and values would change, then store exactly that.

Always: one transaction stores all that was shown, or nothing. No value is in a `repr`. Callers pass the `Person` who
asks.
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
    """The effect of storing an entry."""

    NEW = "new"
    SAME = "same"
    OVERWRITES = "overwrites"
    BRINGS_BACK = "brings back"


class Planned(NamedTuple):
    """An entry, the effect of storing it, and the current version in the store (0: none).

    `origin` is where that version was stored. It is empty if that was here, or if this project has a grant on it.
    """

    entry: ImportedEntry
    change: Change
    version: int
    origin: str = ""


def preview(person: Person, entries: Iterable[ImportedEntry]) -> list[Planned]:
    """Return what storing the entries would change, in their order.

    Raises:
        CustodyError: the key cannot be fetched.
        StoreError: the store cannot be read.
    """
    if not person.store.exists():
        return [Planned(entry, Change.NEW, 0) for entry in entries]
    with person.store.read() as tx:
        return [_planned(tx, person, entry) for entry in entries]


def carry_out(person: Person, shown: Sequence[Planned]) -> list[Stored]:
    """Store what was shown. In a project each secret becomes its own, or the project gets a grant on it.

    Raises:
        StoreError: STORE_BUSY if the store has changed since then, or the store cannot be written. Nothing is stored.
    """
    with person.store.write() as tx:
        if any(_planned(tx, person, each.entry) != each for each in shown):
            raise StoreError(
                Code.STORE_BUSY, "The store has changed since this was shown; nothing was imported.", "Try again."
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
