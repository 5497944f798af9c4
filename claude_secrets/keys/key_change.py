"""Replace the key in a key file: add the new key to the file, update the store's slot, remove the old key.

Always: even if the process is killed at any moment, the key file contains a key that opens the store. The caller holds
the store's write lock, so two processes never replace the store's key at once. If another store has added a new key to
the same file, this store does not remove that key.
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
    """Add a new key to a slot's key file. Return the slot with the data key wrapped by the new key.

    Raises:
        CustodyError: the file does not exist, or it cannot be replaced.
    """
    path, master_key = Path(str(custody.file_of(slot))), new_master_key()
    key_file.replace(path, [*key_file.read_keys(path), HeldKey(master_key, store_id)], store_id)
    return custody.wrapped_by(store_id, slot, master_key, data_key)


def hindrance(custody: Custody, slot: Slot) -> CustodyError | None:
    """Return the error that prevents replacing a slot's key file, or None. A slot without a key file gives None."""
    try:
        if (path := custody.file_of(slot)) is not None:
            key_file.refuse_fixed(path)
    except CustodyError as error:
        return error
    return None


def is_unfinished(custody: Custody, store_id: str, slot: Slot) -> bool:
    """Return whether a process was killed while it was replacing this store's key in a slot's key file."""
    try:
        path = custody.file_of(slot)
        return path is not None and (
            key_file.has_draft(path, store_id) or any(key.coming_for == store_id for key in key_file.read_keys(path))
        )
    except CustodyError:  # the check of the slot itself reports this error
        return False


def finish(custody: Custody, identity: StoreIdentity, slots: Sequence[Slot]) -> None:
    """Finish key replacements: delete from the key files every key that opens no slot.

    `slots` must contain all slots of the store. If another store is also replacing its key in the same file, the keys
    that may belong to that store are not removed.

    Raises:
        CustodyError: a file cannot be replaced.
    """
    store_id = identity.store_id
    changing = {custody.file_of(slot) for slot in slots if is_unfinished(custody, store_id, slot)}
    for path in [each for each in changing if each is not None]:
        key_file.remove_draft(path, store_id)
        held = key_file.read_keys(path)
        opening = {key for key in held if any(custody.opens(identity, s, key.master_key) for s in slots)}
        of_another = any(key.coming_for not in ("", store_id) for key in held)  # an unmarked key may be that store's
        kept = [key for key in held if key in opening or (of_another and key.coming_for != store_id)]
        if opening and any(key.coming_for == store_id for key in held):
            own = [key._replace(coming_for="") if key in opening else key for key in kept]
            key_file.replace(path, own, store_id)
