"""Preview what an import would change in the store, then store exactly what was previewed.

Always: one transaction stores all previewed entries, or none of them. No `repr` contains a value. Callers pass the
`Person` who runs the command.
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
    """A previewed entry, the effect of storing it, and the secret's current version in the store (0 if there is none).

    `origin` is the origin of an existing secret that is neither the project's own nor granted to the project. For other
    secrets it is empty.
    """

    entry: ImportedEntry
    change: Change
    version: int
    origin: str = ""


def preview(person: Person, entries: Iterable[ImportedEntry]) -> list[Planned]:
    """Return the effect of storing each entry, in the order of `entries`.

    Raises:
        CustodyError: the key cannot be fetched.
        StoreError: the store cannot be read.
    """
    if not person.store.exists():
        return [Planned(entry, Change.NEW, 0) for entry in entries]
    with person.store.read() as tx:
        return [_planned(tx, person, entry) for entry in entries]


def carry_out(person: Person, shown: Sequence[Planned]) -> list[Stored]:
    """Store the previewed entries in `shown`.

    Inside a project, each secret becomes the project's own, or the project gets a grant on the secret.

    Raises:
        StoreError: the store has changed since the preview (STORE_BUSY), or it cannot be written. Nothing is stored.
    """
    with person.store.write() as tx:
        if any(_planned(tx, person, each.entry) != each for each in shown):
            raise StoreError(
                Code.STORE_BUSY, "The store has changed since the preview; nothing was imported.", "Try again."
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
