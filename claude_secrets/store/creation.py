"""Making a store: write a draft that says where the key will be, place the key, rename the draft to the store.

Always: a store appears at its path whole and with its key, or not at all. A killed process leaves a draft, with which
the next process finishes the work. So no key is left without a store.
"""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from claude_secrets.atomic_file import Draft, draft, make_private
from claude_secrets.errors import Code, SecretsError, StoreError
from claude_secrets.keys.cipher import Cipher, DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import NewSlot, Slot
from claude_secrets.store import schema
from claude_secrets.store.key_slots import row, unverified
from claude_secrets.store.transaction import HEAD, StoreHead, as_bytes

DRAFT: Final = ".claude-secrets-draft"

_PATIENCE: Final = 60.0
"""Seconds to wait for another process that makes the store: it may be waiting for the keyring's password."""


def draft_of(path: Path) -> Path:
    """The path of the draft of the store at `path`. A file of this name is removed, so nothing else may have it."""
    return path.with_name(f".{path.name}{DRAFT}")


def refuse_draft_name(path: Path) -> None:
    """Raise `StoreError` STORE_UNAVAILABLE for a store or backup with the name of a draft."""
    if path.name.endswith(DRAFT):
        raise StoreError(
            Code.STORE_UNAVAILABLE, f"Files named *{DRAFT} are removed as left-overs.", "Choose another name."
        )


def create(
    path: Path, custody: Custody, make_slot: Callable[[str, DataKey], NewSlot], now: Callable[[], float]
) -> Slot | None:
    """Make a store with one key slot at `path`. Returns the slot, or None if another process made a store there first.

    If a process was killed while it made a store there, this finishes that store, with that store's slot.

    Raises:
        StoreError: STORE_UNAVAILABLE, STORE_FULL or STORE_BUSY; nothing is left behind.
        CustodyError: the key cannot be put in its place; nothing is left behind.
    """
    refuse_draft_name(path)
    with schema.translated():
        make_private(path.parent)
        with draft(draft_of(path), patience=_PATIENCE) as begun:
            if begun is None:
                raise StoreError(Code.STORE_BUSY, "Another process is making the store.", "Try again in a moment.")
            if os.path.lexists(path):
                return None
            _refuse_foreign_log(path)
            return _finished(begun, path, custody) or _made(begun, path, make_slot, now)


def _refuse_foreign_log(path: Path) -> None:
    """Refuse to make a store if the -wal file of another is there: SQLite would take it for the new store's log."""
    if os.path.lexists(path.with_name(f"{path.name}-wal")):
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            "There is no store, but there is a store's log (a -wal file), which may hold its last changes.",
            "Restore the store's file next to the log, or move the log away.",
        )


def tidy(path: Path) -> None:
    """Remove the draft that a killed process left for the store at `path`.

    No key is deleted because a draft names it: the draft could be a planted copy of the store.
    """
    with suppress(OSError), draft(draft_of(path), patience=0):
        pass


def _made(
    begun: Draft, path: Path, make_slot: Callable[[str, DataKey], NewSlot], now: Callable[[], float]
) -> Slot | None:
    store_id, data_key = os.urandom(16).hex(), DataKey.generate()
    new = make_slot(store_id, data_key)
    begun.write(_contents(store_id, data_key, new.slot, now()))
    slot = new.place_key()
    kept = False
    try:
        kept = begun.put_in_place(path)
    finally:
        if not kept and not begun.stands_at(path):  # the store was not made: leave no key without a store
            new.remove_key()
    return slot if kept else None


def _finished(begun: Draft, path: Path, custody: Custody) -> Slot | None:
    """Finish the store of a killed process, if its key is already in place."""
    content = _read_draft(begun)
    if content is None:
        return None
    failure = custody.probe(*content)
    if failure is not None and failure.code in (Code.KEYRING_LOCKED, Code.KEYRING_UNAVAILABLE):
        begun.stays = True  # nobody knows yet whether its key is in place
        raise failure
    return content[1] if failure is None and begun.put_in_place(path) else None


def _read_draft(begun: Draft) -> tuple[StoreIdentity, Slot] | None:
    """Return the store's identity and the one slot of a draft; None if the draft is incomplete."""
    if begun.is_empty:
        return None
    try:
        with closing(schema.connect(begun.path, immutable=True)) as connection:
            identity = StoreIdentity(*connection.execute("SELECT store_id, generation FROM store").fetchone())
            (slot,) = unverified(connection)
    except (SecretsError, TypeError, ValueError):
        return None
    return identity, slot


def empty_head(cipher: Cipher, slot: Slot) -> StoreHead:
    """The head of a new store, which has one key slot and no records."""
    return StoreHead(
        changes=0,
        records="0",
        grants=cipher.digest("grants", ()),
        counters=cipher.digest("counters", ()),
        slots=cipher.digest("key_slots", [as_bytes(row(slot))]),
    )


def _contents(store_id: str, data_key: DataKey, slot: Slot, now: float) -> bytes:
    cipher = Cipher(store_id, data_key)
    token = cipher.seal(*HEAD, fields=empty_head(cipher, slot)._asdict(), now=now)
    return schema.contents(store_id=store_id, generation=data_key.generation, head=token, slot=row(slot))
