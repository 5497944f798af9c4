"""Find out which key slots use a key file, so that nobody deletes a file that another slot needs.

Always: this module changes no file and no store. A slot uses the file at its recorded path, and also the file that
`CLAUDE_SECRETS_KEY_FILE` names.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from claude_secrets.errors import CustodyError
from claude_secrets.keys import key_file
from claude_secrets.keys.cipher import StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import FILE, Slot, State
from claude_secrets.paths import same
from claude_secrets.person.person import Person


def recorded_at(path: Path, slots: Sequence[Slot]) -> list[Slot]:
    """Return the slots in `slots` whose recorded key file is the file at `path`."""
    return [slot for slot in slots if (recorded := _recorded(slot)) is not None and same(recorded, path)]


def replaced_by(custody: Custody, identity: StoreIdentity, new: Slot, slots: Sequence[Slot]) -> list[Slot]:
    """Return the slots that lost their key file and whose path now has the key file of the slot `new`.

    A slot whose key is in the file that `CLAUDE_SECRETS_KEY_FILE` names is not returned.
    """
    path = _recorded(new)
    if path is None or (custody.named_file is not None and not same(custody.named_file, path)):
        return []
    lost = [slot for slot in recorded_at(path, slots) if slot.slot_id != new.slot_id and slot.state is State.THERE]
    return [slot for slot in lost if not _opens(custody, identity, slot, path)]


def sharing(person: Person, slot: Slot) -> list[Slot]:
    """Return the other key slots that use a key file of `slot`. The slots are not verified. Raises `StoreError`."""
    custody = person.store.custody
    others = [other for other in person.store.slots() if other.slot_id != slot.slot_id]
    own = [*_used(custody, slot)]
    return [other for other in others if any(same(path, used) for path in own for used in _used(custody, other))]


def left_over(person: Person, slot: Slot) -> Path | None:
    """Return the slot's key file if this store needs the file only for this slot, else None.

    The file has a key that opens the slot, and no other slot uses the file. Raises `StoreError`.
    """
    path = _recorded(slot)
    identity, _ = person.store.key_state()
    if path is None or sharing(person, slot) or not _opens(person.store.custody, identity, slot, path):
        return None
    return path


def _recorded(slot: Slot) -> Path | None:
    with suppress(CustodyError):  # an invalid path leads to no file
        return slot.key_file
    return None


def _used(custody: Custody, slot: Slot) -> Iterator[Path]:
    if slot.kind == FILE:
        yield from (path for path in (_recorded(slot), custody.named_file) if path is not None)


def _opens(custody: Custody, identity: StoreIdentity, slot: Slot, path: Path) -> bool:
    with suppress(CustodyError):
        return any(custody.opens(identity, slot, key.master_key) for key in key_file.read_keys(path))
    return False
