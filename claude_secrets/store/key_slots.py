"""The key slots as rows of the store. Functions take an open transaction.

Always: the store's head vouches for all of them; a slot is changed only while it is as it was last seen, so that of two
processes that change the same one the second finds out.
"""

import sqlite3

from claude_secrets.errors import Code, StoreError
from claude_secrets.keys.slot import Slot
from claude_secrets.store.transaction import Transaction


def unverified(connection: sqlite3.Connection) -> list[Slot]:
    """All key slots as they are; needs no key, so nothing vouches for them."""
    return [Slot(*row) for row in connection.execute("SELECT * FROM key_slots ORDER BY 1").fetchall()]


def list_all(tx: Transaction) -> list[Slot]:
    """All key slots.

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
    """Put a slot in the place of one, or take it away.

    Raises:
        StoreError: STORE_BUSY where it is not as it was.
    """
    if before not in list_all(tx):
        raise StoreError(Code.STORE_BUSY, "Another process changed the key slots meanwhile.", "Try again.")
    tx.connection.execute("DELETE FROM key_slots WHERE slot_id = ?", (before.slot_id,))
    if after is not None:
        tx.connection.execute("INSERT INTO key_slots VALUES (?, ?, ?, ?)", row(after))
    _renew(tx)


def row(slot: Slot) -> tuple[str, str, str, bytes]:
    """A slot as its row."""
    return (slot.slot_id, slot.kind, slot.params, slot.wrapped)


def _renew(tx: Transaction) -> None:
    tx.amend(slots=tx.table_digest("key_slots"))
