"""Replacing the key in a key file: the file gets both keys, the store's slot changes, then the old key is removed.

Always: if the process is killed at any moment, the file holds a key that opens the store. The caller holds the store's
write lock, so two processes never change the file at once. If another store has put a new key into the same file, that
key stays.
"""

from collections.abc import Sequence
from pathlib import Path

from claude_secrets.errors import CustodyError
from claude_secrets.keys import key_file
from claude_secrets.keys.cipher import DataKey, StoreIdentity, new_master_key
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.key_file import HeldKey
from claude_secrets.keys.slot import Slot


def begin(custody: Custody, store_id: str, slot: Slot, data_key: DataKey) -> Slot:
    """Add a new key to the key file of a slot; return the slot with the data key wrapped by the new key.

    Raises:
        CustodyError: the file does not exist, or it cannot be replaced.
    """
    path, master_key = Path(str(custody.file_of(slot))), new_master_key()
    key_file.replace(path, [*key_file.read_keys(path), HeldKey(master_key, store_id)], store_id)
    return custody.wrapped_by(store_id, slot, master_key, data_key)


def hindrance(custody: Custody, slot: Slot) -> CustodyError | None:
    """Why the key of a slot cannot be replaced here; None if it can, or if the slot has no key file."""
    try:
        if (path := custody.file_of(slot)) is not None:
            key_file.refuse_fixed(path)
    except CustodyError as error:
        return error
    return None


def is_unfinished(custody: Custody, store_id: str, slot: Slot) -> bool:
    """Whether a process was killed while it replaced this store's key in the key file of a slot."""
    try:
        path = custody.file_of(slot)
        return path is not None and (
            key_file.has_draft(path, store_id) or any(key.coming_for == store_id for key in key_file.read_keys(path))
        )
    except CustodyError:  # reported as the slot's failure
        return False


def finish(custody: Custody, identity: StoreIdentity, slots: Sequence[Slot]) -> None:
    """Remove from the key files the keys that open none of the `slots`, which are all slots of the store.

    If another store is also replacing its key in a file, all keys that may be its own stay.

    Raises:
        CustodyError: a file cannot be replaced.
    """
    store_id = identity.store_id
    changing = {custody.file_of(slot) for slot in slots if is_unfinished(custody, store_id, slot)}
    for path in [each for each in changing if each is not None]:
        key_file.remove_draft(path, store_id)
        held = key_file.read_keys(path)
        opening = {key for key in held if any(custody.opens(identity, s, key.master_key) for s in slots)}
        of_another = any(key.coming_for not in ("", store_id) for key in held)  # a key without a mark may be its own
        kept = [key for key in held if key in opening or (of_another and key.coming_for != store_id)]
        if opening and any(key.coming_for == store_id for key in held):
            own = [key._replace(coming_for="") if key in opening else key for key in kept]
            key_file.replace(path, own, store_id)
