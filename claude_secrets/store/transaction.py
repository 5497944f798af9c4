"""One transaction on the store, and the sealed head that vouches for every other row.

Always: a token is opened only for its own place. Rows that do not match are STORE_TAMPERED.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypedDict, Unpack

from claude_secrets.errors import Code, StoreError
from claude_secrets.keys.cipher import Cipher, Envelope, EnvelopeMismatch, TokenInvalid

HEAD: Final = ("store-head", "store")
"""Kind and place of the store's head."""

_REMEMBERED: Final = 2000
"""The most lookups that are remembered from one transaction to the next."""


def tampered(what: str) -> StoreError:
    """Return the error for rows that fail verification; `what` names the kind of row, never its content."""
    return StoreError(
        Code.STORE_TAMPERED,
        f"The store failed verification: {what} was changed, removed or rolled back outside Claude Secrets.",
        "Stop all clients, then replace the store and its -wal and -shm files with an undamaged copy. "
        "Or see with `doctor --deep` which records still open, and save them with `backup`.",
    )


class StoreHead(NamedTuple):
    """The content of the store's sealed head. Every transaction that writes renews it.

    `changes` counts the writing transactions. `records` is the set hash of the record heads. `grants`, `counters` and
    `slots` are digests of their whole tables. `audit_sequence` is the number of the audit log's last entry, and `audit`
    is the set hash of its entries.
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
        """Read the head from its opened envelope. Raises `EnvelopeMismatch` if a field is missing."""
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
    """The fields of the store's head that change with rows. The transaction itself counts `changes`."""

    records: str
    grants: str
    counters: str
    slots: str
    audit_sequence: int
    audit: str


class Memory:
    """Remembered lookups of records, valid as long as the store's head vouches for the same records.

    `tables` holds the digests of small tables as they were last read. A store keeps this memory while no other
    connection writes.
    """

    def __init__(self) -> None:
        self._records = ""
        self._found: dict[object, Any] = {}
        self.tables: dict[str, str] = {}

    def begin(self) -> None:
        """Forget everything if it is too much. Only between transactions: each may look up any number of records."""
        if len(self._found) > _REMEMBERED:
            self._found = {}

    def of(self, head: StoreHead) -> dict[object, Any]:
        """Return what is remembered under this head; nothing if any record has changed."""
        if self._records != head.records:
            self._records, self._found = head.records, {}
        return self._found


class Transaction:
    """One open transaction: a connection, its cipher, the head, and the time when it began (seconds).

    `memory` outlives the transaction.
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
        """Results of earlier lookups among the same records, under the keys that the caller chose."""
        return self._memory.of(self.head)

    def amend(self, **changes: Unpack[HeadChanges]) -> None:
        """Update the head for changed rows. It is sealed again when the transaction ends."""
        self.head = self.head._replace(**changes)
        self.dirty = True

    def rows(self, statement: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """Return the rows of a query one by one, for as long as the transaction is open.

        An unfinished cursor keeps this state of the store visible as long as anything holds the cursor, such as an
        exception's traceback. So all cursors are closed with the transaction.
        """
        self._cursors.append(self.connection.execute(statement, parameters))
        return self._cursors[-1]

    def close(self) -> None:
        """Close the cursors; called once, when the transaction ends."""
        for cursor in self._cursors:
            cursor.close()

    def seal(self, kind: str, place: str, fields: dict[str, object], payload: bytes = b"") -> bytes:
        """Seal a token for this store at this transaction's time."""
        return self.cipher.seal(kind, place, fields, now=self.now, payload=payload)

    def open(self, kind: str, place: str, token: bytes) -> Envelope:
        """Open a token of this store. Raises `StoreError` STORE_TAMPERED if it does not belong in that place."""
        try:
            return self.cipher.open(kind, place, token)
        except (TokenInvalid, EnvelopeMismatch):
            raise tampered(f"a row of kind '{kind}'") from None

    def verify_table(self, table: str, expected: str) -> None:
        """Compare a small table with its digest in the head, if it may have changed since the last comparison.

        Raises:
            StoreError: STORE_TAMPERED.
        """
        if self._memory.tables.get(table) != expected and self.table_digest(table) != expected:
            raise tampered(f"a row of table '{table}'")

    def verify_records(self) -> None:
        """Compare all record heads with the store's head.

        Raises:
            StoreError: STORE_TAMPERED if a record was removed, added or rolled back.
        """
        rows = (as_bytes(row) for row in self.rows("SELECT record, head FROM records"))
        if self.cipher.set_add_all("0", rows) != self.head.records:
            raise tampered("a record")

    def table_digest(self, table: str) -> str:
        """Return the current digest of a small table (`grants`, `counters`, `key_slots`)."""
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
        """Seal the head as it is now, and return it. Called once, before the commit of a transaction that wrote."""
        self.head = self.head._replace(changes=self.head.changes + 1)
        token = self.seal(*HEAD, fields=self.head._asdict())
        self.connection.execute("UPDATE store SET head = ? WHERE id = 1", (token,))
        return token


def as_bytes(row: tuple[object, ...]) -> tuple[bytes, ...]:
    """Return a row's cells as they go into a digest: bytes as they are, other cells as text in UTF-8."""
    return tuple(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
