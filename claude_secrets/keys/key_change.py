"""Replacing the key in a key file: the file holds both keys, then the store's slot changes, then the old key goes.

Always: whenever the process is killed, the file holds a key that opens the store. The caller holds the store's write
lock, so two processes never change the file at once. A new key that another store has put into the same file is not
touched.
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
    """Put a new key beside the old one into the key file of a slot; returns the slot as the new key is to open it.

    Raises:
        CustodyError: the file is not there, or cannot be replaced.
    """
    path, master_key = Path(str(custody.file_of(slot))), new_master_key()
    key_file.replace(path, [*key_file.read_keys(path), HeldKey(master_key, store_id)], store_id)
    return custody.wrapped_by(store_id, slot, master_key, data_key)


def hindrance(custody: Custody, slot: Slot) -> CustodyError | None:
    """Why the key of a slot cannot be replaced here; None where it can, or the slot has no key file."""
    try:
        if (path := custody.file_of(slot)) is not None:
            key_file.refuse_fixed(path)
    except CustodyError as error:
        return error
    return None


def is_unfinished(custody: Custody, store_id: str, slot: Slot) -> bool:
    """Whether a process that gave the key file of a slot another key for this store did not get to its end."""
    try:
        path = custody.file_of(slot)
        return path is not None and (
            key_file.has_draft(path, store_id) or any(key.coming_for == store_id for key in key_file.read_keys(path))
        )
    except CustodyError:  # told as the slot's failure
        return False


def finish(custody: Custody, identity: StoreIdentity, slots: Sequence[Slot]) -> None:
    """Leave in the key files those keys only that open one of the `slots`, which are all that the store has.

    Raises:
        CustodyError: a file cannot be replaced.
    """
    store_id = identity.store_id
    changing = {custody.file_of(slot) for slot in slots if is_unfinished(custody, store_id, slot)}
    for path in [each for each in changing if each is not None]:
        key_file.remove_draft(path, store_id)
        held = key_file.read_keys(path)
        opening = {key for key in held if any(custody.opens(identity, s, key.master_key) for s in slots)}
        of_another = any(key.coming_for not in ("", store_id) for key in held)  # and one without a mark is maybe, too
        kept = [key for key in held if key in opening or (of_another and key.coming_for != store_id)]
        if opening and any(key.coming_for == store_id for key in held):
            own = [key._replace(coming_for="") if key in opening else key for key in kept]
            key_file.replace(path, own, store_id)
