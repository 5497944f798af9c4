"""List a secret's versions, restore a version, or permanently remove a secret with all its versions.

Always: restoring a version removes no other version. After a purge, no page of the store's file contains the secret,
except if `Purged.scrubbed` is False. Callers pass the `Person` who runs the command.
"""

import sys
from typing import NamedTuple

from claude_secrets.errors import CallerError, Code, StoreError
from claude_secrets.model import check_name
from claude_secrets.paths import command
from claude_secrets.person.person import Person
from claude_secrets.store import grants, records
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.transaction import Transaction
from claude_secrets.store.versions import Version


class Restored(NamedTuple):
    """The result of a restore: the version that was restored, and the result of storing its value again."""

    earlier: Version
    stored: Stored


class Purged(NamedTuple):
    """The records that were purged.

    `scrubbed` is False if old pages of the store's file still contain their data. `Store.scrub` says when this happens.
    """

    records: tuple[Record, ...]
    scrubbed: bool


def history(person: Person, name: str) -> tuple[Record, list[Version]]:
    """Return a secret's record and all its versions, oldest first. The secret may be deleted.

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
    """Make the value of version `number` current again.

    If `number` is None, the newest value before the current version is restored. A deleted secret can also be restored.
    The secret's access does not change.

    Raises:
        CallerError: NOT_FOUND if the secret does not exist, or if the version is no longer stored or has no value.
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
    """Permanently remove a secret, all its versions and all grants on it. The secret may be deleted.

    `shown` is the record that the person was shown. If `shown` is None, the record may have changed.

    Raises:
        CallerError: NOT_FOUND.
        StoreError: STORE_BUSY if the record is no longer equal to `shown`.
    """
    check_name(name)
    person.require_store(name)
    with person.store.write() as tx:
        record = _ever(tx, person, name)
        if shown is not None and record != shown:
            raise StoreError(
                Code.STORE_BUSY, f"'{name}' has changed since it was shown; nothing was purged.", "Try again."
            )
        _purge(tx, person, record)
    return Purged(records=(record,), scrubbed=person.store.scrub())


def purge_deleted(person: Person, shown: list[Record]) -> Purged:
    """Permanently remove the deleted secrets in `shown`, except secrets that have changed since they were shown."""
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
        raise CallerError(
            Code.NOT_FOUND,
            f"The store does not keep {what} of '{record.name}'.",
            f"To see the versions that the store keeps: {command()} history {record.name} --scope {record.scope}",
        )
    return values[0]
