"""Secrets as rows: a sealed head for each record, and a sealed token for each version of its value.

Always: a record is opened whole or not at all; what does not fit together is STORE_TAMPERED; a deletion is a
version too, so that an older head never fits. Each function takes the doorway's open transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from claude_secrets.cipher import Envelope
from claude_secrets.model import Access, EnteredBy
from claude_secrets.transaction import Transaction, tampered


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a record's head says. Times are seconds since 1970.

    `version` is the newest version; `revision` counts the head's changes and is repeated in the newest version;
    `history` is the set hash of all version rows.
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
        """The head's fields as they are sealed."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The outcome of storing: the version that is now current, and whether anything changed.

    `moved_from` is the origin the secret had, where it has another one now.
    """

    version: int
    changed: bool
    access: Access
    moved_from: str | None = None


def find(tx: Transaction, scope: str, name: str) -> Record | None:
    """The record of that name in that scope, deleted or not; None where there has never been one.

    Raises:
        StoreError: STORE_TAMPERED where the head does not fit the newest version, or versions lack a head.
    """
    key = _key(tx, scope, name)
    row = tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,)).fetchone()
    newest = tx.connection.execute("SELECT max(version) FROM versions WHERE record = ?", (key,)).fetchone()[0]
    if row is None:
        if newest is not None:
            raise tampered("a record's head")
        return None
    record = _opened(tx, key, row[0])
    if (record.scope, record.name, record.version) != (scope, name, newest):
        raise tampered("a record's head")
    return record


def value(tx: Transaction, record: Record) -> str:
    """The current value of a record that is not deleted.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    return _newest(tx, record).payload.decode("utf-8")


def every(tx: Transaction) -> Iterator[Record]:
    """All records, deleted ones too, in no particular order."""
    for key, head in tx.rows("SELECT record, head FROM records"):
        yield _opened(tx, key, head)


def verify_history(tx: Transaction, record: Record) -> int:
    """Hold all versions of a record against its head and open each. Returns how many there are.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    key, total, count = _key(tx, record.scope, record.name), "0", 0
    rows = tx.rows("SELECT version, token FROM versions WHERE record = ?", key)
    for count, (version, token) in enumerate(rows, start=1):  # noqa: B007  used after the loop
        tx.open("version", _place(key, version), token)
        total = tx.cipher.set_add(total, _place(key, version).encode(), token)
    if total != record.history:
        raise tampered("a version")
    return count


def verify_every(tx: Transaction) -> tuple[list[Record], int]:
    """All records, their histories verified, and how many versions they have; no version stands without a record.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    found = list(every(tx))
    count = sum(verify_history(tx, record) for record in found)
    if tx.connection.execute("SELECT count(*) FROM versions").fetchone()[0] != count:
        raise tampered("a version")
    return found, count


def put(
    tx: Transaction,
    *,
    scope: str,
    name: str,
    value: str,
    origin: str,
    entered_by: EnteredBy,
    access: Access | None = None,
    repeats: bool = False,
) -> Stored:
    """Store a value as the newest version of a secret, which comes to be if there is none.

    `origin` counts for a new secret, and for one that a person enters where an agent stored it or it was deleted:
    whoever only took the name must not be given what the person enters elsewhere. `access` None keeps the access the
    name has (new: readable). The same value again makes no version, unless it `repeats`.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    before = find(tx, scope, name)
    access = access or (before.access if before else Access.READABLE)
    if before is not None and not _is_claimed(before, entered_by):
        origin = before.origin
    moved_from = before.origin if before is not None and before.origin != origin else None
    if before is not None and not repeats and _has_value(tx, before, value):
        after = replace(before, access=access, origin=origin)
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
    )
    _write_version(tx, record, value.encode("utf-8"))
    return Stored(version=record.version, changed=True, access=record.access, moved_from=moved_from)


def set_access(tx: Transaction, record: Record, access: Access) -> bool:
    """Give a record another access. Returns False where it has that already."""
    if record.access is access:
        return False
    _reseal(tx, record, replace(record, access=access))
    return True


def delete(tx: Transaction, record: Record, *, entered_by: EnteredBy) -> None:
    """Mark a record as deleted by an empty newest version. Its earlier versions are kept, and so is its access."""
    after = replace(
        record,
        deleted=True,
        version=record.version + 1,
        revision=record.revision + 1,
        updated=int(tx.now),
        entered_by=entered_by,
    )
    _write_version(tx, after, b"")


def rename(tx: Transaction, record: Record, new_name: str) -> None:
    """Move a record with all its versions to a name that has never been used in its scope.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    verify_history(tx, record)  # the new history is summed up from what is there
    old_key, new_key = _key(tx, record.scope, record.name), _key(tx, record.scope, new_name)
    rows = tx.connection.execute("SELECT version, token FROM versions WHERE record = ?", (old_key,)).fetchall()
    history = "0"
    for version, token in rows:
        envelope = tx.open("version", _place(old_key, version), token)
        history = _insert_version(
            tx, new_key, version, fields=_own_fields(envelope), payload=envelope.payload, history=history
        )
    tx.connection.execute("DELETE FROM versions WHERE record = ?", (old_key,))
    old_head = tx.connection.execute("DELETE FROM records WHERE record = ? RETURNING head", (old_key,)).fetchone()[0]
    tx.head.records = tx.cipher.set_remove(tx.head.records, old_key, old_head)
    _write_head(tx, replace(record, name=new_name, history=history), new_key)


def _is_claimed(before: Record, entered_by: EnteredBy) -> bool:
    """Whether a secret comes to belong to where it is stored now."""
    return entered_by is EnteredBy.PERSON and (before.deleted or before.entered_by is EnteredBy.AGENT)


def _has_value(tx: Transaction, record: Record, value: str) -> bool:
    return not record.deleted and _newest(tx, record).payload == value.encode("utf-8")


def _reseal(tx: Transaction, before: Record, after: Record) -> None:
    # The newest version is sealed again with the head's new revision, so that the old head no longer fits.
    key = _key(tx, before.scope, before.name)
    place = _place(key, before.version)
    envelope = _newest(tx, before)
    old_token = tx.connection.execute(
        "DELETE FROM versions WHERE record = ? AND version = ? RETURNING token", (key, before.version)
    ).fetchone()[0]
    history = tx.cipher.set_remove(before.history, place.encode(), old_token)
    after = replace(after, revision=before.revision + 1)
    own = {"access": after.access.value, "origin": after.origin, "revision": after.revision}
    fields = {**_own_fields(envelope), **own}
    history = _insert_version(tx, key, before.version, fields=fields, payload=envelope.payload, history=history)
    _write_head(tx, replace(after, history=history), key)


def _write_version(tx: Transaction, after: Record, payload: bytes) -> None:
    key = _key(tx, after.scope, after.name)
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
    history = _insert_version(tx, key, after.version, fields=fields, payload=payload, history=after.history)
    _write_head(tx, replace(after, history=history), key)


def _insert_version(
    tx: Transaction, key: bytes, version: int, *, fields: dict[str, object], payload: bytes, history: str
) -> str:
    """Write one version's row and return the record's history with it."""
    place = _place(key, version)
    token = tx.seal("version", place, fields, payload)
    tx.connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (key, version, token))
    return tx.cipher.set_add(history, place.encode(), token)


def _write_head(tx: Transaction, record: Record, key: bytes) -> None:
    row = tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,)).fetchone()
    if row is not None:
        tx.head.records = tx.cipher.set_remove(tx.head.records, key, row[0])
    head = tx.seal("record-head", key.hex(), record.fields())
    tx.connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (key, head))
    tx.head.records = tx.cipher.set_add(tx.head.records, key, head)
    tx.dirty = True


def _newest(tx: Transaction, record: Record) -> Envelope:
    key = _key(tx, record.scope, record.name)
    row = tx.connection.execute(
        "SELECT token FROM versions WHERE record = ? AND version = ?", (key, record.version)
    ).fetchone()
    if row is None:
        raise tampered("a version")
    envelope = tx.open("version", _place(key, record.version), row[0])
    if (envelope.number("revision"), envelope.flag("deleted")) != (record.revision, record.deleted):
        raise tampered("a version")
    return envelope


def _opened(tx: Transaction, key: bytes, head: bytes) -> Record:
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


def _own_fields(envelope: Envelope) -> dict[str, object]:
    """A version's own fields, without those that bind it to its place (sealing adds the new place's)."""
    return {key: value for key, value in envelope.fields.items() if key not in {"store", "generation", "kind", "place"}}


def _key(tx: Transaction, scope: str, name: str) -> bytes:
    return tx.cipher.index("record", scope, name)


def _place(key: bytes, version: int) -> str:
    return f"{key.hex()}:{version}"
