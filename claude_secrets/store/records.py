"""The secrets in the store: each record has a sealed head, and each version of its value is a sealed token.

Always: if the rows of a record do not match each other, `StoreError` STORE_TAMPERED is raised. A deletion adds a
version, so the head from before the deletion no longer matches. Each function takes an open transaction.
"""

from collections.abc import Iterator
from typing import NamedTuple, cast

from claude_secrets.keys.cipher import Envelope
from claude_secrets.model import KEPT_VERSIONS, Access, EnteredBy, Expiry
from claude_secrets.store import versions
from claude_secrets.store.transaction import Transaction, tampered
from claude_secrets.store.versions import Version


class Record(NamedTuple):
    """The fields of a record's head. Times are in seconds since 1970.

    `version` is the number of the newest version. `revision` is 1 in the first head and grows with each change of the
    head; the newest version has the same `revision`. `history` is the set hash of all the record's versions.
    """

    name: str
    scope: str
    origin: str
    access: Access
    version: int
    deleted: bool
    revision: int
    history: str
    updated: int
    entered_by: EnteredBy
    expires: int | None = None
    note: str | None = None

    def fields(self) -> dict[str, object]:
        """Return the head's fields in the form in which they are sealed."""
        return {
            "name": self.name,
            "scope": self.scope,
            "origin": self.origin,
            "access": self.access.value,
            "version": self.version,
            "deleted": self.deleted,
            "revision": self.revision,
            "history": self.history,
            "updated": self.updated,
            "entered_by": self.entered_by.value,
            "expires": self.expires,
            "note": self.note,
        }


class Stored(NamedTuple):
    """The result of storing a value: the number of the current version, and whether anything changed.

    `moved_from` is the secret's old origin if storing the value changed the origin, otherwise None.
    """

    version: int
    changed: bool
    access: Access
    moved_from: str | None = None


def find(tx: Transaction, scope: str, name: str) -> Record | None:
    """Return the record with this scope and name, even if it is deleted, or None if there is no such record.

    Raises:
        StoreError: STORE_TAMPERED if the head does not match the newest version, or if there are versions but no head.
    """
    if (scope, name) not in tx.remembered:
        tx.remembered[scope, name] = _look_up(tx, scope, name)
    return cast("Record | None", tx.remembered[scope, name])


def _look_up(tx: Transaction, scope: str, name: str) -> Record | None:
    key = key_of(tx, scope, name)
    row = tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,)).fetchone()
    newest = versions.newest(tx, key)
    if row is None:
        if newest is not None:
            raise tampered("a record's head")
        return None
    record = open_head(tx, key, row[0])
    if (record.scope, record.name, record.version) != (scope, name, newest):
        raise tampered("a record's head")
    return record


def value(tx: Transaction, record: Record) -> str:
    """Return a record's current value. The record must not be deleted.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    return _newest(tx, record).payload.decode("utf-8")


def iterate_all(tx: Transaction) -> Iterator[Record]:
    """Yield all records, including deleted records, in no particular order."""
    for key, head in tx.rows("SELECT record, head FROM records"):
        yield open_head(tx, key, head)


def history(tx: Transaction, record: Record) -> list[Version]:
    """Verify all versions of a record against the record's head, and return them, oldest first.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    return [Version.from_envelope(number, envelope) for number, envelope in rows(tx, record)]


def rows(tx: Transaction, record: Record) -> Iterator[tuple[int, Envelope]]:
    """Yield all versions of a record with their values, oldest first, and finally verify them against the head."""
    return versions.iterate_all(tx, key_of(tx, record.scope, record.name), record.history)


def verify_all(tx: Transaction) -> tuple[list[Record], int]:
    """Verify all records and their versions. Return the records and the total number of versions.

    Raises:
        StoreError: STORE_TAMPERED, also if a version has no record.
    """
    all_records = list(iterate_all(tx))
    count = 0
    for record in all_records:
        numbers = [version.number for version in history(tx, record)]
        if not numbers or numbers[-1] != record.version:
            raise tampered("a record's head")
        count += len(numbers)
    if tx.connection.execute("SELECT count(*) FROM versions").fetchone()[0] != count:
        raise tampered("a version")
    return all_records, count


def put(
    tx: Transaction,
    *,
    scope: str,
    name: str,
    value: str,
    origin: str,
    entered_by: EnteredBy,
    access: Access | None = None,
    expires: int | Expiry = Expiry.UNCHANGED,
    repeats: bool = False,
    keep: int = KEPT_VERSIONS,
) -> Stored:
    """Store a value as the newest version of a secret. If the secret does not exist yet, create it.

    A new secret gets the `origin`. If a person enters a value for a secret that is deleted or that an agent stored, the
    secret gets the new `origin`, too. Otherwise a project could use the name first, and later get a value that the
    person enters in another project. If `access` is None, a new secret is readable, and an existing secret keeps its
    access. `expires` is in seconds since 1970. An unchanged value adds a version only if `repeats` is true.
    `versions.evict` describes `keep`.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    before = find(tx, scope, name)
    access = access or (before.access if before else Access.READABLE)
    if before is not None and not _is_claimed(before, entered_by):
        origin = before.origin
    moved_from = before.origin if before is not None and before.origin != origin else None
    if before is not None and not repeats and _has_value(tx, before, value):
        until = before.expires if expires is Expiry.UNCHANGED else _time(expires)
        after = before._replace(access=access, origin=origin, expires=until)
        if after != before:
            _reseal(tx, before, after)
        return Stored(version=before.version, changed=after != before, access=access, moved_from=moved_from)
    record = Record(
        name=name,
        scope=scope,
        origin=origin,
        access=access,
        version=before.version + 1 if before else 1,
        deleted=False,
        revision=before.revision + 1 if before else 1,
        history=before.history if before else "0",
        updated=int(tx.now),
        entered_by=entered_by,
        expires=_time(expires),
    )
    _write_version(tx, record, value.encode("utf-8"), keep=keep, by=entered_by)
    return Stored(version=record.version, changed=True, access=record.access, moved_from=moved_from)


def _time(expires: int | Expiry) -> int | None:
    return None if isinstance(expires, Expiry) else expires


def restore(tx: Transaction, record: Record, number: int, *, keep: int = KEPT_VERSIONS) -> Stored:
    """Store an earlier version's value again as the newest version, with all fields of the earlier version.

    The record's access does not change. If the value is already the current value, no version is added.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    history(tx, record)  # verify first, so that no planted value is restored
    key = key_of(tx, record.scope, record.name)
    envelope = versions.open_envelope(tx, key, number)
    earlier = Version.from_envelope(number, envelope)
    if not record.deleted and _newest(tx, record).payload == envelope.payload:
        return Stored(version=record.version, changed=False, access=record.access)
    after = record._replace(
        origin=earlier.origin,
        version=record.version + 1,
        deleted=False,
        revision=record.revision + 1,
        updated=int(tx.now),
        entered_by=earlier.entered_by,
        expires=earlier.expires,
        note=earlier.note,
    )
    _write_version(tx, after, envelope.payload, keep=keep, by=EnteredBy.PERSON)
    return Stored(version=after.version, changed=True, access=after.access)


def set_access(tx: Transaction, record: Record, access: Access) -> bool:
    """Set the access of a record. Returns False if the record already has this access."""
    if record.access is access:
        return False
    _reseal(tx, record, record._replace(access=access))
    return True


def delete(tx: Transaction, record: Record, *, entered_by: EnteredBy, keep: int = KEPT_VERSIONS) -> None:
    """Mark a record as deleted by adding an empty version. The record keeps its earlier versions and its access."""
    after = record._replace(
        deleted=True,
        version=record.version + 1,
        revision=record.revision + 1,
        updated=int(tx.now),
        entered_by=entered_by,
    )
    _write_version(tx, after, b"", keep=keep, by=entered_by)


def purge(tx: Transaction, record: Record) -> None:
    """Remove a record with all its versions, as if the record had never existed."""
    key = key_of(tx, record.scope, record.name)
    tx.connection.execute("DELETE FROM versions WHERE record = ?", (key,))
    _remove_head(tx, key)


def rename(tx: Transaction, record: Record, new_name: str) -> None:
    """Rename a record and all its versions. The scope must not have a record of the new name, even a deleted one.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    new_key, total = key_of(tx, record.scope, new_name), "0"
    for number, envelope in list(rows(tx, record)):
        fields = versions.own_fields(envelope)
        total = versions.insert(tx, new_key, number, fields=fields, payload=envelope.payload, history=total)
    purge(tx, record)
    write_head(tx, record._replace(name=new_name, history=total), new_key)


def _is_claimed(before: Record, entered_by: EnteredBy) -> bool:
    """Whether a secret gets a new origin: the secret is deleted or an agent stored it, and a person enters a value."""
    return entered_by is EnteredBy.PERSON and (before.deleted or before.entered_by is EnteredBy.AGENT)


def _has_value(tx: Transaction, record: Record, value: str) -> bool:
    return not record.deleted and _newest(tx, record).payload == value.encode("utf-8")


def _reseal(tx: Transaction, before: Record, after: Record) -> None:
    # Seal the newest version again with the head's new revision, so that the old head no longer matches.
    key = key_of(tx, before.scope, before.name)
    envelope = _newest(tx, before)
    total = versions.remove(tx, key, before.version, before.history)
    after = after._replace(revision=before.revision + 1)
    own = {
        "access": after.access.value,
        "origin": after.origin,
        "revision": after.revision,
        "expires": after.expires,
    }
    fields = {**versions.own_fields(envelope), **own}
    total = versions.insert(tx, key, before.version, fields=fields, payload=envelope.payload, history=total)
    write_head(tx, after._replace(history=total), key)


def _write_version(tx: Transaction, after: Record, payload: bytes, *, keep: int, by: EnteredBy) -> None:
    key = key_of(tx, after.scope, after.name)
    fields: dict[str, object] = {
        "revision": after.revision,
        "deleted": after.deleted,
        "access": after.access.value,
        "origin": after.origin,
        "created": after.updated,
        "entered_by": after.entered_by.value,
        "expires": after.expires,
        "note": after.note,
    }
    total = versions.insert(tx, key, after.version, fields=fields, payload=payload, history=after.history)
    total = versions.evict(tx, key, total, keep=keep, by=by)
    write_head(tx, after._replace(history=total), key)


def write_head(tx: Transaction, record: Record, key: bytes) -> None:
    """Write a record's head, which replaces the record's old head."""
    _remove_head(tx, key)
    head = tx.seal("record-head", key.hex(), record.fields())
    tx.connection.execute("INSERT INTO records VALUES (?, ?)", (key, head))
    tx.amend(records=tx.cipher.set_add(tx.head.records, key, head))
    tx.remembered[record.scope, record.name] = record


def _remove_head(tx: Transaction, key: bytes) -> None:
    row = tx.connection.execute("DELETE FROM records WHERE record = ? RETURNING head", (key,)).fetchone()
    if row is not None:
        tx.amend(records=tx.cipher.set_remove(tx.head.records, key, row[0]))


def _newest(tx: Transaction, record: Record) -> Envelope:
    envelope = versions.open_envelope(tx, key_of(tx, record.scope, record.name), record.version)
    if (envelope.number("revision"), envelope.flag("deleted")) != (record.revision, record.deleted):
        raise tampered("a version")
    return envelope


def open_head(tx: Transaction, key: bytes, head: bytes) -> Record:
    """Open the head of the row with this key. Raises `StoreError` STORE_TAMPERED if it was not sealed for this row."""
    envelope = tx.open("record-head", key.hex(), head)
    return Record(
        name=envelope.text("name"),
        scope=envelope.text("scope"),
        origin=envelope.text("origin"),
        access=Access(envelope.text("access")),
        version=envelope.number("version"),
        deleted=envelope.flag("deleted"),
        revision=envelope.number("revision"),
        history=envelope.text("history"),
        updated=envelope.number("updated"),
        entered_by=EnteredBy(envelope.text("entered_by")),
        expires=envelope.optional_number("expires"),
        note=envelope.optional_text("note"),
    )


def key_of(tx: Transaction, scope: str, name: str) -> bytes:
    """Return the row key of a record. The rows of the record's versions have the same key."""
    return tx.cipher.index("record", scope, name)
