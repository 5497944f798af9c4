"""The store: opening it with its key, and transactions whose sealed head vouches for every other row.

Always: no transaction is open while the keyring is asked; a transaction's cipher fits the key generation it read;
a write renews the store's head in the same transaction. One thread uses one `Store`. The doorway opens
transactions; `records`, `grants` and `limits` take them.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from claude_secrets import schema
from claude_secrets.cipher import Cipher, DataKey, Envelope, EnvelopeMismatch, TokenInvalid
from claude_secrets.custody import Custody, Slot
from claude_secrets.errors import Code, CustodyError, StoreError

_HEAD: Final = ("store-head", "store")


def tampered(what: str) -> StoreError:
    """The error for rows that do not fit together; `what` names the kind of row, never its content."""
    return StoreError(
        Code.STORE_TAMPERED,
        f"The store does not fit together: {what} was changed, removed or put back outside Claude Secrets.",
        "Stop all clients, then put back a whole copy of the store in place of it and its -wal and -shm files.",
    )


@dataclass
class StoreHead:
    """What the store's sealed head vouches for. It is renewed by every transaction that writes.

    `changes` counts the writing transactions; `records` is the set hash of the record heads; `grants`,
    `counters` and `slots` are digests of their whole tables; the audit fields belong to the audit log.
    """

    changes: int
    records: str
    grants: str
    counters: str
    slots: str
    audit_sequence: int = 0
    audit_mac: str = ""

    @classmethod
    def read(cls, envelope: Envelope) -> "StoreHead":
        """Take the head out of its opened envelope. Raises `EnvelopeMismatch` where a field is missing."""
        return cls(
            changes=envelope.number("changes"),
            records=envelope.text("records"),
            grants=envelope.text("grants"),
            counters=envelope.text("counters"),
            slots=envelope.text("slots"),
            audit_sequence=envelope.number("audit_sequence"),
            audit_mac=envelope.text("audit_mac"),
        )


class Transaction:
    """One open transaction: a connection, the cipher that fits it, the head, and the time it began (seconds)."""

    def __init__(self, connection: sqlite3.Connection, cipher: Cipher, head: StoreHead, now: float) -> None:
        self.connection = connection
        self.cipher = cipher
        self.head = head
        self.now = now
        self.dirty = False
        self._verified: set[str] = set()
        self._cursors: list[sqlite3.Cursor] = []

    def rows(self, statement: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one, for as long as the transaction is open.

        A cursor that was left half-way goes on seeing this state of the store for as long as anything, be it an
        exception's traceback, holds it; so all of them are closed with the transaction.
        """
        self._cursors.append(self.connection.execute(statement, parameters))
        return self._cursors[-1]

    def close(self) -> None:
        """Close the cursors; called once, when the transaction ends."""
        for cursor in self._cursors:
            cursor.close()

    def seal(self, kind: str, place: str, fields: dict[str, object], payload: bytes = b"") -> bytes:
        """Seal for this store at this transaction's time."""
        return self.cipher.seal(kind, place, fields, now=self.now, payload=payload)

    def open(self, kind: str, place: str, token: bytes) -> Envelope:
        """Open a token of this store. Raises `StoreError` STORE_TAMPERED where it is not the one that belongs there."""
        try:
            return self.cipher.open(kind, place, token)
        except (TokenInvalid, EnvelopeMismatch):
            raise tampered(f"a row of kind '{kind}'") from None

    def verify_table(self, table: str, expected: str) -> None:
        """Compare a small table with the digest in the head, once in a transaction.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if table in self._verified:
            return
        if self.table_digest(table) != expected:
            raise tampered(f"a row of table '{table}'")
        self._verified.add(table)

    def verify_records(self) -> None:
        """Hold all record heads against the store's head.

        Raises:
            StoreError: STORE_TAMPERED where a record was removed, added or put back to an older state.
        """
        total = "0"
        for row in self.rows("SELECT record, head FROM records"):
            total = self.cipher.set_add(total, *_as_bytes(row))
        if total != self.head.records:
            raise tampered("a record")

    def table_digest(self, table: str) -> str:
        """The digest of a small table (`grants`, `counters`, `key_slots`) as it is now."""
        rows = self.connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608  our own names
        return self.cipher.digest(table, (_as_bytes(row) for row in rows))

    def renew_head(self) -> None:
        """Seal the head as it is now; called once, before the commit of a transaction that wrote."""
        self.head.changes += 1
        token = self.seal(*_HEAD, fields=asdict(self.head))
        self.connection.execute("UPDATE store SET head = ? WHERE id = 1", (token,))


def _as_bytes(row: tuple[object, ...]) -> tuple[bytes, ...]:
    return tuple(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)


class Store:
    """The secrets of one person in one file.

    `path` need not exist: the first write makes the store and its key. `now` returns seconds since 1970.
    """

    def __init__(self, path: Path, custody: Custody, now: Callable[[], float]) -> None:
        self.path = path
        self._custody = custody
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int, bool] | None = None
        self._verified_at = -1
        self._cipher: Cipher | None = None
        self._slots_checked = False

    def exists(self) -> bool:
        """Whether there is a file at the store's path (a store's, or something else that will be refused)."""
        return os.path.lexists(self.path)

    def close(self) -> None:
        """Close the connection and forget the key."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = self._cipher = None

    def key_files(self) -> list[Path]:
        """The paths of the key files that this store's slots name; needs no key."""
        return [path for slot in self._slots(self._open()) if (path := slot.key_file) is not None]

    def slot_kinds(self) -> list[str]:
        """The kinds of this store's key slots, for `doctor`; needs no key."""
        return [slot.kind for slot in self._slots(self._open())]

    def unlock(self) -> None:
        """Fetch the data key if it is not in memory yet.

        Raises:
            CustodyError: it cannot be had.
            StoreError: the file cannot be read or is not a store.
        """
        self._unlocked(self._open())

    @contextmanager
    def read(self, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        """A transaction that sees one state of the store and changes nothing. The store must exist.

        For the person alone: `whole` False reads a record even where another one is damaged; `immutable` reads
        a store in a read-only place without locks.
        """
        with self._transaction("BEGIN", whole=whole, immutable=immutable) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that is committed whole when the block ends, and rolled back when it raises.

        Makes the store and its key, held by the OS keyring, where there is no store yet.
        """
        if not self.exists():
            self._create(self._custody.new_keyring_slot)
        with self._transaction("BEGIN IMMEDIATE") as tx:
            yield tx
            if tx.dirty:
                tx.renew_head()

    def create_with_key_file(self, key_file: Path) -> None:
        """Make the store with its key in a new file instead of the OS keyring.

        Raises:
            StoreError: STORE_UNAVAILABLE where a store exists already.
            CustodyError: the key file cannot be made there.
        """
        exists = StoreError(
            Code.STORE_UNAVAILABLE,
            "There is a store already; its key stays where it is.",
            "Name another store with --store, or go on with the one you have.",
        )
        if self.exists():
            raise exists
        if not self._create(
            lambda store_id, data_key: self._custody.new_file_slot(store_id, data_key, key_file, store=self.path)
        ):
            raise exists

    def _create(self, make_slot: Callable[[str, DataKey], Slot]) -> bool:
        store_id, data_key = secrets.token_hex(16), DataKey.generate()
        slot = make_slot(store_id, data_key)
        row = (slot.slot_id, slot.kind, slot.params, slot.wrapped)
        cipher = Cipher(store_id, data_key)
        head = StoreHead(
            changes=0,
            records="0",
            grants=cipher.digest("grants", ()),
            counters=cipher.digest("counters", ()),
            slots=cipher.digest("key_slots", [_as_bytes(row)]),
        )
        token = cipher.seal(*_HEAD, fields=asdict(head), now=self._now())
        kept = False
        try:
            kept = schema.create(self.path, store_id=store_id, generation=data_key.generation, head=token, slot=row)
        finally:
            if not kept:  # another process was first, or the disk said no: leave no key without a store
                self._custody.discard(store_id, slot)
        return kept

    @contextmanager
    def _transaction(self, begin: str, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        for _ in range(3):
            connection = self._open(immutable=immutable)
            cipher = self._unlocked(connection)
            tx = None
            try:
                with schema.translated():
                    connection.execute(begin)
                    tx = self._begun(connection, cipher, whole=whole)
                    if tx is None:  # another process replaced the data key since: fetch the new one
                        self._cipher = None
                        continue
                    yield tx
                    connection.execute("COMMIT")
                    return
            finally:
                if tx is not None:
                    tx.close()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        raise StoreError(Code.STORE_BUSY, "The store's key is being replaced.", "Try again in a moment.")

    def _begun(self, connection: sqlite3.Connection, cipher: Cipher, *, whole: bool) -> Transaction | None:
        seen = connection.execute("PRAGMA data_version").fetchone()[0]
        changed = seen != self._verified_at  # another connection wrote since, or this one is new
        if changed:  # a newer version may have migrated the store while we run
            schema.check_format(connection)
        rows = connection.execute("SELECT store_id, generation, head, id FROM store").fetchall()
        if [row[3] for row in rows] != [1]:
            raise tampered("the store's head")
        row = rows[0]
        if row[:2] != (cipher.store_id, cipher.generation):
            return None
        try:
            head = StoreHead.read(cipher.open(*_HEAD, row[2]))
        except (TokenInvalid, EnvelopeMismatch):
            raise tampered("the store's head") from None
        tx = Transaction(connection, cipher, head, self._now())
        if not self._slots_checked:
            tx.verify_table("key_slots", head.slots)
            self._slots_checked = True
        if whole and changed:
            tx.verify_records()
            self._verified_at = seen
        return tx

    def _unlocked(self, connection: sqlite3.Connection) -> Cipher:
        if self._cipher is None:
            with schema.translated():
                row = connection.execute("SELECT store_id, generation FROM store WHERE id = 1").fetchone()
            if row is None:
                raise tampered("the store's head")
            data_key = self._custody.unlock(row[0], self._slots(connection))
            if data_key.generation != row[1]:
                raise CustodyError(
                    Code.KEY_WRONG,
                    "The key belongs to another generation of this store.",
                    "Put back the store and the key that belong together.",
                )
            self._cipher = Cipher(row[0], data_key)
            self._slots_checked = False
        return self._cipher

    def _slots(self, connection: sqlite3.Connection) -> list[Slot]:
        with schema.translated():
            rows = connection.execute("SELECT slot_id, kind, params, wrapped FROM key_slots ORDER BY 1").fetchall()
        return [Slot(*row) for row in rows]

    def _open(self, *, immutable: bool = False) -> sqlite3.Connection:
        """The connection, opened anew where the file at the path is no longer the one that was opened."""
        with schema.translated():
            status = self.path.stat()
        wanted = (status.st_dev, status.st_ino, immutable)
        if self._connection is None or self._file != wanted:
            self.close()
            self._connection = schema.connect(self.path, immutable=immutable)
            self._file = wanted
            self._verified_at = -1
        return self._connection
