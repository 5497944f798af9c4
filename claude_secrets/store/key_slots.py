"""The store's key slots: list, add, replace and remove them in an open transaction.

Always: the store's head has the digest of all key slots. A change of a slot fails if the slot has already changed
since the caller read it. If two processes change the same slot, the second change therefore fails.
"""

import sqlite3

from claude_secrets.errors import Code, StoreError
from claude_secrets.keys.slot import Slot
from claude_secrets.store.transaction import Transaction


def unverified(connection: sqlite3.Connection) -> list[Slot]:
    """Return all key slots without verifying them. No key is needed."""
    return [Slot(*row) for row in connection.execute("SELECT * FROM key_slots ORDER BY 1").fetchall()]


def list_all(tx: Transaction) -> list[Slot]:
    """Verify all key slots and return them.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    tx.verify_table("key_slots", tx.head.slots)
    return unverified(tx.connection)


def add(tx: Transaction, slot: Slot) -> None:
    """Add a slot."""
    list_all(tx)
    tx.connection.execute("INSERT INTO key_slots VALUES (?, ?, ?, ?)", row(slot))
    _renew(tx)


def change(tx: Transaction, before: Slot, after: Slot | None) -> None:
    """Replace the slot `before` with `after`. If `after` is None, remove the slot.

    Raises:
        StoreError: STORE_BUSY if the slot has changed since it was read.
    """
    if before not in list_all(tx):
        raise StoreError(Code.STORE_BUSY, "Another process has changed the key slots.", "Try again.")
    tx.connection.execute("DELETE FROM key_slots WHERE slot_id = ?", (before.slot_id,))
    if after is not None:
        tx.connection.execute("INSERT INTO key_slots VALUES (?, ?, ?, ?)", row(after))
    _renew(tx)


def row(slot: Slot) -> tuple[str, str, str, bytes]:
    """Return the row of a slot."""
    return (slot.slot_id, slot.kind, slot.params, slot.wrapped)


def _renew(tx: Transaction) -> None:
    tx.amend(slots=tx.table_digest("key_slots"))
