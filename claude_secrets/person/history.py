"""The history of a secret: list its versions, restore one of them, and purge all of them.

Always: restoring evicts no version. A purged secret is in no page of the store, unless `scrubbed` is False. Callers
pass the `Person` who asks.
"""

import sys
from typing import NamedTuple

from claude_secrets.errors import CallerError, Code, StoreError
from claude_secrets.model import check_name
from claude_secrets.person.person import Person
from claude_secrets.store import grants, records
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.transaction import Transaction
from claude_secrets.store.versions import Version


class Restored(NamedTuple):
    """The outcome of a restore: the earlier version, and the version that was stored."""

    earlier: Version
    stored: Stored


class Purged(NamedTuple):
    """The purged records. `scrubbed` is False if old pages with them stay for now (`Store.scrub` says when)."""

    records: tuple[Record, ...]
    scrubbed: bool


def history(person: Person, name: str) -> tuple[Record, list[Version]]:
    """Return the record of a name, deleted or not, and all its versions, oldest first.

    Raises:
        CallerError: NOT_FOUND.
        StoreError: STORE_TAMPERED.
    """
    check_name(name)
    person.require_store(name)
    with person.store.read() as tx:
        record = _ever(tx, person, name)
        return record, records.history(tx, record)


def restore_version(person: Person, name: str, number: int | None = None) -> Restored:
    """Make version `number` current again; without a number, the newest value before the current version.

    This also restores a deleted secret. The name keeps its access.

    Raises:
        CallerError: NOT_FOUND, also if the version is not kept or is a deletion.
        StoreError: STORE_TAMPERED.
    """
    check_name(name)
    person.require_store(name)
    with person.store.write() as tx:
        record = _ever(tx, person, name)
        earlier = _chosen(record, records.history(tx, record), number)
        stored = records.restore(tx, record, earlier.number, keep=sys.maxsize)
        person.log(tx, "restore", name)
    return Restored(earlier=earlier, stored=stored)


def deleted(person: Person) -> list[Record]:
    """Return the deleted secrets of all scopes, sorted by scope and name."""
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        gone = [record for record in records.iterate_all(tx) if record.deleted]
    return sorted(gone, key=lambda record: (record.scope, record.name))


def purge(person: Person, name: str, shown: Record | None = None) -> Purged:
    """Permanently remove a secret, deleted or not, with all its versions and the grants on it.

    `shown` is the record as the person saw it.

    Raises:
        CallerError: NOT_FOUND.
        StoreError: STORE_BUSY if the record has changed since then.
    """
    check_name(name)
    person.require_store(name)
    with person.store.write() as tx:
        record = _ever(tx, person, name)
        if shown is not None and record != shown:
            raise StoreError(Code.STORE_BUSY, f"'{name}' has changed since then; nothing was purged.", "Try again.")
        _purge(tx, person, record)
    return Purged(records=(record,), scrubbed=person.store.scrub())


def purge_deleted(person: Person, shown: list[Record]) -> Purged:
    """Permanently remove the deleted secrets that were `shown`, except those that have changed since."""
    if not person.store.exists():
        return Purged(records=(), scrubbed=True)
    with person.store.write() as tx:
        unchanged = [each for each in shown if records.find(tx, each.scope, each.name) == each]
        for record in unchanged:
            _purge(tx, person, record)
    return Purged(records=tuple(unchanged), scrubbed=person.store.scrub())


def _purge(tx: Transaction, person: Person, record: Record) -> None:
    records.purge(tx, record)
    for grant in grants.list_all(tx):
        if (grant.scope, grant.name) == (record.scope, record.name):
            grants.remove(tx, grant)
    person.log(tx, "purge", record.name, scope=record.scope)


def _ever(tx: Transaction, person: Person, name: str) -> Record:
    record = records.find(tx, person.scope, name)
    if record is None:
        raise person.missing(name)
    return record


def _chosen(record: Record, kept: list[Version], number: int | None) -> Version:
    values = [version for version in kept if not version.deleted]
    if number is None:
        values = [version for version in values if version.number < record.version][-1:]
    else:
        values = [version for version in values if version.number == number]
    if not values:
        what = "an earlier value" if number is None else f"a value with the number {number}"
        raise CallerError(Code.NOT_FOUND, f"The store does not keep {what} of '{record.name}'.", "See `history`.")
    return values[0]
