"""One transaction on the store, and the store's head: a sealed row from which all other rows are verified.

Always: opening a token fails unless the token is in the row that it was sealed for. A row that fails verification
raises `StoreError` STORE_TAMPERED.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypedDict, Unpack

from claude_secrets.errors import Code, StoreError
from claude_secrets.keys.cipher import Cipher, Envelope, EnvelopeMismatch, TokenInvalid

HEAD: Final = ("store-head", "store")
"""The fields `kind` and `place` in the envelope of the store's head."""

_REMEMBERED: Final = 2000
"""The maximum number of cached lookups that one transaction leaves to the next."""


def tampered(what: str) -> StoreError:
    """Return the error for a row that fails verification. `what` is the kind of row and never contains its content."""
    return StoreError(
        Code.STORE_TAMPERED,
        f"The store failed verification: {what} was changed, removed or rolled back outside Claude Secrets.",
        "Stop all clients, then replace the store and its -wal and -shm files with an undamaged copy. "
        "Or run `doctor --deep` to see which records can still be read, and save them with `backup`.",
    )


class StoreHead(NamedTuple):
    """The fields of the store's head. Every transaction that changes the store seals a new head.

    `changes` is the number of transactions that changed the store. `records` is the set hash of all record heads.
    `grants`, `counters` and `slots` are the digests of the tables `grants`, `counters` and `key_slots`.
    `audit_sequence` is the number of the audit log's last entry, and `audit` is the set hash of all entries in the log.
    """

    changes: int
    records: str
    grants: str
    counters: str
    slots: str
    audit_sequence: int = 0
    audit: str = "0"

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> "StoreHead":
        """Return the head that an opened envelope contains. Raises `EnvelopeMismatch` if a field is missing."""
        return cls(
            changes=envelope.number("changes"),
            records=envelope.text("records"),
            grants=envelope.text("grants"),
            counters=envelope.text("counters"),
            slots=envelope.text("slots"),
            audit_sequence=envelope.number("audit_sequence"),
            audit=envelope.text("audit"),
        )


class HeadChanges(TypedDict, total=False):
    """The fields of the store's head that must be updated when rows change. `renew_head` updates `changes`."""

    records: str
    grants: str
    counters: str
    slots: str
    audit_sequence: int
    audit: str


class Memory:
    """A cache of record lookups. It is cleared when any record changes.

    `tables` maps the name of each small table to the digest that was last computed. A `Connection` starts a new cache
    after another connection has written.
    """

    def __init__(self) -> None:
        self._records = ""
        self._found: dict[object, Any] = {}
        self.tables: dict[str, str] = {}

    def begin(self) -> None:
        """Clear the cache if it is too large. Call this between transactions; one may cache any number of lookups."""
        if len(self._found) > _REMEMBERED:
            self._found = {}

    def of(self, head: StoreHead) -> dict[object, Any]:
        """Return the cached lookups. Clear the cache first if any record has changed since the last call."""
        if self._records != head.records:
            self._records, self._found = head.records, {}
        return self._found


class Transaction:
    """One open transaction: the SQLite connection, the cipher, the store's head, and the start time (`now`, seconds).

    `memory` is a cache that later transactions can use, too.
    """

    def __init__(
        self, connection: sqlite3.Connection, cipher: Cipher, head: StoreHead, now: float, memory: Memory | None = None
    ) -> None:
        self.connection = connection
        self.cipher = cipher
        self.head = head
        self.now = now
        self.dirty = False
        self._memory = memory or Memory()
        self._memory.begin()
        self._cursors: list[sqlite3.Cursor] = []

    @property
    def remembered(self) -> dict[object, Any]:
        """The cached lookups, under keys that the caller chooses. A change to any record clears them."""
        return self._memory.of(self.head)

    def amend(self, **changes: Unpack[HeadChanges]) -> None:
        """Update the head after rows have changed. The new head is sealed just before the transaction is committed."""
        self.head = self.head._replace(**changes)
        self.dirty = True

    def rows(self, statement: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """Return an iterator over the rows of a query. It is valid until the transaction ends.

        An unfinished cursor keeps SQLite's snapshot of the store open as long as an object refers to the cursor, such
        as an exception's traceback. `close` therefore closes all cursors.
        """
        self._cursors.append(self.connection.execute(statement, parameters))
        return self._cursors[-1]

    def close(self) -> None:
        """Close all cursors. This is called once, when the transaction ends."""
        for cursor in self._cursors:
            cursor.close()

    def seal(self, kind: str, place: str, fields: dict[str, object], payload: bytes = b"") -> bytes:
        """Seal fields and a payload as a token. The token's time is the start time of this transaction."""
        return self.cipher.seal(kind, place, fields, now=self.now, payload=payload)

    def open(self, kind: str, place: str, token: bytes) -> Envelope:
        """Open a token. Raises `StoreError` STORE_TAMPERED if the token was not sealed for `kind` and `place`."""
        try:
            return self.cipher.open(kind, place, token)
        except (TokenInvalid, EnvelopeMismatch):
            raise tampered(f"a row of kind '{kind}'") from None

    def verify_table(self, table: str, expected: str) -> None:
        """Check that a small table has the digest `expected`. A table with this digest in the cache is not read again.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if self._memory.tables.get(table) != expected and self.table_digest(table) != expected:
            raise tampered(f"a row of table '{table}'")

    def verify_records(self) -> None:
        """Verify all record heads against the store's head.

        Raises:
            StoreError: STORE_TAMPERED if a record was removed, added or rolled back.
        """
        rows = (as_bytes(row) for row in self.rows("SELECT record, head FROM records"))
        if self.cipher.set_add_all("0", rows) != self.head.records:
            raise tampered("a record")

    def table_digest(self, table: str) -> str:
        """Compute, cache and return the digest of a small table (`grants`, `counters` or `key_slots`)."""
        rows = self.connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608  our own names
        digest = self._memory.tables[table] = self.cipher.digest(table, (as_bytes(row) for row in rows))
        return digest

    def size(self) -> int:
        """Return the number of bytes in the store's used pages."""
        pages, free, size = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def renew_head(self) -> bytes:
        """Seal the current head, write it to the store and return its token.

        This is called once, just before a transaction that changed the store is committed.
        """
        self.head = self.head._replace(changes=self.head.changes + 1)
        token = self.seal(*HEAD, fields=self.head._asdict())
        self.connection.execute("UPDATE store SET head = ? WHERE id = 1", (token,))
        return token


def as_bytes(row: tuple[object, ...]) -> tuple[bytes, ...]:
    """Return a row's cells in the form that a digest needs: bytes are unchanged, other cells become UTF-8 text."""
    return tuple(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
