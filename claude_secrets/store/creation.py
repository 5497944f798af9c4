"""Create a store: write the file as a draft that names the key's location, store the key, then rename the draft.

Always: the store's file gets its name only when the file is complete and the key is stored. A killed process leaves a
draft, from which the next process finishes the store. No key is therefore left without a store.
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
"""Seconds to wait for another process that is creating the store. It may be waiting for the keyring's password."""


def draft_of(path: Path) -> Path:
    """Return the path of the draft for the store at `path`. Any file that has a draft's name may be removed."""
    return path.with_name(f".{path.name}{DRAFT}")


def refuse_draft_name(path: Path) -> None:
    """Raise `StoreError` STORE_UNAVAILABLE if `path`, where a store or backup will be written, has a draft's name."""
    if path.name.endswith(DRAFT):
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            f"Claude Secrets deletes leftover files whose names end in {DRAFT}.",
            "Choose another name.",
        )


def create(
    path: Path, custody: Custody, make_slot: Callable[[str, DataKey], NewSlot], now: Callable[[], float]
) -> Slot | None:
    """Create a store with one key slot at `path`. Returns the slot, or None if another process created a store first.

    If an earlier process was killed while it was creating the store, finish the store and return its slot.

    Raises:
        StoreError: STORE_UNAVAILABLE, STORE_FULL or STORE_BUSY; nothing is left behind.
        CustodyError: the key cannot be stored; nothing is left behind.
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
    """Raise `StoreError` if another store's -wal file exists, which SQLite would use as the log of the new store."""
    if os.path.lexists(path.with_name(f"{path.name}-wal")):
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            "The store's file is missing, but its log (a -wal file) exists and may contain the store's last changes.",
            "Restore the store's file to the directory of the log, or move the log to another directory.",
        )


def tidy(path: Path) -> None:
    """Remove the draft that a killed process left for the store at `path`.

    The key that the draft names is not deleted, because an attacker can plant a copy of the store as the draft.
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
    """Finish the store that a killed process began to create, if the store's key is already stored."""
    content = None if begun.is_empty else read_draft(begun.path)
    if content is None:
        return None
    failure = custody.probe(*content)
    if failure is not None and failure.code in (Code.KEYRING_LOCKED, Code.KEYRING_UNAVAILABLE):
        begun.stays = True  # it is not known yet whether the draft's key is stored
        raise failure
    return content[1] if failure is None and begun.put_in_place(path) else None


def read_draft(path: Path) -> tuple[StoreIdentity, Slot] | None:
    """Return the store's identity and the key slot in the draft at `path`, or None if the draft is incomplete."""
    try:
        with closing(schema.connect(path, immutable=True)) as connection:
            identity = StoreIdentity(*connection.execute("SELECT store_id, generation FROM store").fetchone())
            (slot,) = unverified(connection)
    except (SecretsError, TypeError, ValueError):
        return None
    return identity, slot


def empty_head(cipher: Cipher, slot: Slot) -> StoreHead:
    """Return the head of a new store with one key slot and no records."""
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
