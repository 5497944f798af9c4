"""List, add, remove and replace the key slots of the person's store.

Always: if the process is killed at any moment, at least one slot still opens the store, and the store has a slot for
every key. A slot is recorded before its key is stored, and its state is COMING until then. A slot is removed after its
key is deleted, and its state is LEAVING until then. The next key command completes or undoes an interrupted change.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from claude_secrets.errors import CallerError, Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys import key_change, passphrase, recovery_code
from claude_secrets.keys.cipher import DataKey, StoreIdentity, sealed_at
from claude_secrets.keys.slot import KEYRING, PASSPHRASE, NewSlot, Slot, State
from claude_secrets.paths import command
from claude_secrets.person import key_files
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.transaction import Transaction


class KeyInfo(NamedTuple):
    """A key slot, and the result of trying to open the store with it on this computer now.

    `since` is the time when the data key was wrapped, in seconds since 1970. `failure` is None if the slot opens the
    store or was not tried. `tried` is False if the slot needs a passphrase or code, for which the person was not asked.
    """

    slot: Slot
    since: int
    failure: CustodyError | None
    tried: bool = True

    @property
    def counts(self) -> bool:
        """Whether the slot is finished and, as far as is known on this computer, opens the store."""
        return self.failure is None and self.slot.state is State.THERE


def list_keys(person: Person) -> list[KeyInfo]:
    """Return all key slots, oldest first.

    Raises:
        CustodyError: no key slot opens the store.
        StoreError: STORE_TAMPERED.
    """
    with person.store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    infos = [_info(person, identity, slot) for slot in slots]
    return sorted(infos, key=lambda info: info.since)


def list_unopenable(person: Person) -> list[KeyInfo]:
    """Return all key slots of a store that cannot be opened. The slots are not verified. Raises `StoreError`."""
    identity, slots = person.store.key_state()
    return [_info(person, identity, slot) for slot in slots]


def _info(person: Person, identity: StoreIdentity, slot: Slot) -> KeyInfo:
    failure, since = person.store.custody.probe(identity, slot), sealed_at(slot.wrapped)
    if slot.kind == PASSPHRASE:
        return KeyInfo(slot=slot, since=since, failure=None, tried=failure is None)
    return KeyInfo(slot=slot, since=since, failure=failure)


def add_passphrase(person: Person, new: str) -> Slot:
    """Add a slot for a passphrase. Raises `CallerError` INVALID_VALUE if the passphrase is easy to guess."""
    passphrase.check(new, passphrase.known_words(*person.directories))
    return _with_passphrase(person, new, "key add-passphrase", recovery=False)


def add_file(person: Person, path: Path) -> Slot:
    """Add a slot for a new key file at `path`. If a slot has lost its key file at this path, that slot is removed.

    Raises:
        CallerError: INVALID_ARGUMENTS if the file cannot be made.
    """
    store, data_key = person.store, person.store.fetch_key()
    clear_away(person)
    new = store.custody.new_file_slot(identity_of(person).store_id, data_key, path, store=store.path)
    return _added(person, new, data_key, "key add-file")


def recover(person: Person, code: str, path: Path | None) -> Slot:
    """Open the store with its recovery code, and add a new key.

    The new key is stored in a new key file at `path`, or in the OS keyring if `path` is None. If a slot has lost its
    key file at this path, that slot is removed.

    Raises:
        CallerError: INVALID_VALUE if the code is mistyped. The message says which group of the code is wrong.
            INVALID_ARGUMENTS if the file cannot be made.
        CustodyError: the code does not open the store, or the keyring is unavailable.
    """
    store = person.store
    data_key = store.unlock_with_code(code)
    clear_away(person)
    if path is None:
        new = store.custody.new_keyring_slot(identity_of(person).store_id, data_key)
    else:
        new = store.custody.new_file_slot(identity_of(person).store_id, data_key, path, store=store.path)
    return _added(person, new, data_key, "recover use")


def require_code(person: Person) -> None:
    """Raise `CustodyError` KEY_MISSING if the store has no recovery code. Call this before asking for the code."""
    identity, slots = person.store.key_state()
    person.store.custody.require_code(identity, slots)


def create_code(person: Person, *, replacing: bool) -> str:
    """Make a recovery code and return it. The code itself is not stored.

    Raises:
        CallerError: INVALID_ARGUMENTS if the store already has a recovery code and `replacing` is False.
    """
    data_key = person.store.fetch_key()
    clear_away(person)
    code = recovery_code.new_code()
    new = person.store.custody.new_passphrase_slot(identity_of(person).store_id, data_key, code, recovery=True)
    with person.store.write() as tx:
        refuse_another(data_key, tx)
        old = [slot for slot in key_slots.list_all(tx) if slot.is_recovery]
        if old and not replacing:
            raise CallerError(
                Code.INVALID_ARGUMENTS,
                "The store already has a recovery code.",
                "Add --replace to make a new code. The old code then no longer opens the store.",
            )
        for slot in old:
            key_slots.change(tx, slot, None)
        key_slots.add(tx, new.place_key())
        person.log(tx, "recover create")
    return code


def remove_key(person: Person, slot_id: str) -> Slot:
    """Remove the slot whose id begins with `slot_id`. Its keyring entry is deleted, but its key file is not.

    Raises:
        CallerError: NOT_FOUND; INVALID_ARGUMENTS if no other slot would open the store.
        CustodyError: the keyring entry cannot be deleted; the slot stays as LEAVING.
    """
    clear_away(person)
    chosen, others = _removable(list_keys(person), slot_id)
    _remove(person, chosen, "key remove", others)
    return chosen


def require_removable(person: Person, slot_id: str) -> Slot:
    """Return the slot that `remove_key` would remove. Changes nothing. Raises as `remove_key`."""
    return _removable(list_keys(person), slot_id)[0]


def _removable(held: Sequence[KeyInfo], slot_id: str) -> tuple[Slot, list[Slot]]:
    """Return the slot whose id begins with `slot_id`, and the other slots that open the store here."""
    chosen = [info.slot for info in held if info.slot.slot_id.startswith(slot_id)]
    if len(chosen) != 1 or not slot_id:
        raise CallerError(
            Code.NOT_FOUND,
            "The given text must be the beginning of exactly one key slot's id.",
            f"To see the ids: {command()} key list",
        )
    others = [info.slot for info in held if info.slot != chosen[0] and info.counts]
    if not others:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "This is the only key that opens the store here. Without this key, nobody could open the store.",
            f"Add another key first, for example a passphrase: {command()} key add-passphrase",
        )
    return chosen[0], others


def replace_in_keyring(person: Person) -> list[Slot]:
    """Replace each of the store's master keys in this keyring. Return the new slots.

    Raises:
        CallerError: INVALID_ARGUMENTS if this keyring has no key of the store.
        CustodyError: the keyring is unavailable.
    """
    clear_away(person)
    data_key = person.store.fetch_key()
    old = [info.slot for info in list_keys(person) if info.slot.kind == KEYRING and info.failure is None]
    if not old:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "No key of this store is in the system's keyring.",
            f"To replace a key file: {command()} key add-file NEWPATH, then {command()} key remove OLDSLOT "
            f"(to see the slots: {command()} key list)",
        )
    made = []
    for slot in old:
        new = person.store.custody.new_keyring_slot(identity_of(person).store_id, data_key)
        made.append(_added(person, new, data_key, "key rotate", replacing=slot))
        _clear(person, slot.moved(State.LEAVING))
    return made


def clear_away(person: Person) -> None:
    """Complete or undo the key changes that a killed process left unfinished.

    These changes are slots in the state COMING or LEAVING, and key files with both an old and a new key. If a locked
    keyring or a read-only directory prevents a change, the next call tries it again.

    If no slot in the state THERE opens the store, the first unfinished slot that opens the store gets the state THERE.
    This case occurs when a keyring is restored to an earlier state.
    """
    with person.store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    custody = person.store.custody
    with suppress(CustodyError):
        _finish_key_files(person, slots, identity.store_id)
    opening = [slot for slot in slots if custody.probe(identity, slot) is None]
    staying = [slot for slot in opening if slot.state is State.THERE]
    for slot in slots:
        if slot.state is State.THERE:
            continue
        with suppress(CustodyError):
            if staying:
                _remove(person, slot, "key remove", staying)
            elif slot in opening:
                with person.store.write() as tx:
                    _finish(person, tx, slot, slot.moved(State.THERE))
                staying.append(slot.moved(State.THERE))


def unfinished(person: Person) -> bool:
    """Return whether there are unfinished key changes that `clear_away` should complete or undo."""
    with person.store.read() as tx:
        slots, store_id = key_slots.list_all(tx), tx.cipher.store_id
    return any(
        slot.state is not State.THERE or key_change.is_unfinished(person.store.custody, store_id, slot)
        for slot in slots
    )


def record_and_place(person: Person, new: Sequence[NewSlot], data_key: DataKey) -> None:
    """Record slots with the state COMING, then store their keys.

    Raises `CustodyError` if a key cannot be stored. `clear_away` then removes the slots and keys.
    """
    if new:
        with person.store.write() as tx:
            refuse_another(data_key, tx)
            for each in new:
                key_slots.add(tx, each.slot.moved(State.COMING))
    for each in new:
        each.place_key()


def _finish_key_files(person: Person, slots: Sequence[Slot], store_id: str) -> None:
    custody = person.store.custody
    if any(key_change.is_unfinished(custody, store_id, slot) for slot in slots):
        with person.store.write() as tx:
            key_change.finish(custody, tx.cipher.identity, key_slots.list_all(tx))


def _with_passphrase(person: Person, new: str, action: str, *, recovery: bool) -> Slot:
    data_key = person.store.fetch_key()
    clear_away(person)
    made = person.store.custody.new_passphrase_slot(identity_of(person).store_id, data_key, new, recovery=recovery)
    with person.store.write() as tx:
        refuse_another(data_key, tx)
        key_slots.add(tx, made.slot)
        person.log(tx, action)
    return made.slot


def refuse_another(data_key: DataKey, tx: Transaction) -> None:
    """Raise `StoreError` STORE_BUSY if the store's data key was replaced after `data_key` was fetched.

    A new slot that wraps the old data key would not open the store.
    """
    if tx.cipher.generation != data_key.generation:
        raise StoreError(Code.STORE_BUSY, "Another process has replaced the store's key.", "Try again.")


def _added(person: Person, new: NewSlot, data_key: DataKey, action: str, *, replacing: Slot | None = None) -> Slot:
    coming = new.slot.moved(State.COMING)
    with person.store.write() as tx:
        refuse_another(data_key, tx)
        key_slots.add(tx, coming)
    try:
        new.place_key()
    except SecretsError:
        with person.store.write() as tx:
            key_slots.change(tx, coming, None)
        raise
    kept = False
    try:
        with person.store.write() as tx:
            _finish(person, tx, coming, new.slot)
            if replacing is not None:
                key_slots.change(tx, replacing, replacing.moved(State.LEAVING))
            person.log(tx, action)
        kept = True
    finally:
        if not kept and not _is_recorded(person, new.slot):
            new.remove_key()
    return new.slot


def _finish(person: Person, tx: Transaction, coming: Slot, there: Slot) -> None:
    """Record that the slot's key is stored, and remove the slots whose lost key file the slot's key file replaces."""
    key_slots.change(tx, coming, there)
    for lost in key_files.replaced_by(person.store.custody, tx.cipher.identity, there, key_slots.list_all(tx)):
        key_slots.change(tx, lost, None)


def _is_recorded(person: Person, slot: Slot) -> bool:
    """Return whether the store has the slot.

    If the store cannot be read, this returns True, so that the slot's key is not removed.
    """
    try:
        with person.store.read() as tx:
            return slot in key_slots.list_all(tx)
    except SecretsError:
        return True


def _remove(person: Person, slot: Slot, action: str, others: Sequence[Slot]) -> None:
    """Remove a slot if the store still has at least one of the slots in `others`, which open the store."""
    leaving = slot.moved(State.LEAVING)
    in_place = slot.kind == KEYRING or slot.state is not State.THERE
    with person.store.write() as tx:
        if not any(other in others for other in key_slots.list_all(tx)):
            raise StoreError(Code.STORE_BUSY, "Another process has changed the key slots.", "Try again.")
        if not in_place:
            person.log(tx, action)
        if leaving != slot or not in_place:
            key_slots.change(tx, slot, leaving if in_place else None)
    if in_place:
        _clear(person, leaving)


def _clear(person: Person, leaving: Slot) -> None:
    person.store.custody.take_away(identity_of(person), leaving)
    with person.store.write() as tx:
        key_slots.change(tx, leaving, None)
        person.log(tx, "key remove")


def identity_of(person: Person) -> StoreIdentity:
    """Return the identity of the person's store."""
    with person.store.read() as tx:
        return tx.cipher.identity
