"""The keys of a store, for the person: listing, adding, removing and replacing key slots.

Always: whenever the process is killed, one slot still opens the store, and the store has a slot for every key. A slot
is recorded before its key is put in place, and removed after its key is gone. In between it is COMING or LEAVING, and
the next key command clears it away.
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
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.transaction import Transaction


class KeyInfo(NamedTuple):
    """A key slot, when it was wrapped (seconds since 1970), and why it does not open the store here now.

    `failure` is None if it opens the store, or was not tried. `tried` is False if it needs a passphrase or code that
    nobody was asked for.
    """

    slot: Slot
    since: int
    failure: CustodyError | None
    tried: bool = True

    @property
    def counts(self) -> bool:
        """Whether the person has this key, as far as is known here."""
        return self.failure is None and self.slot.state is State.THERE


def list_keys(person: Person) -> list[KeyInfo]:
    """Return all key slots, oldest first.

    Raises:
        CustodyError: none of them opens the store.
        StoreError: STORE_TAMPERED.
    """
    with person.store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    infos = [_info(person, identity, slot) for slot in slots]
    return sorted(infos, key=lambda info: info.since)


def list_unopenable(person: Person) -> list[KeyInfo]:
    """Return all key slots of a store that none of them opens; they are not verified. Raises `StoreError`."""
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
    """Add a slot for a new key file at `path`. Raises `CustodyError` if the file cannot be made."""
    store, data_key = person.store, person.store.fetch_key()
    clear_away(person)
    new = store.custody.new_file_slot(identity_of(person).store_id, data_key, path, store=store.path)
    return _added(person, new, data_key, "key add-file")


def recover(person: Person, code: str, path: Path | None) -> Slot:
    """Open the store with its recovery code, and make a new key for it in the OS keyring, or in a new file at `path`.

    Raises:
        CallerError: INVALID_VALUE, which names the mistyped group of the code.
        CustodyError: the code belongs to another store, the keyring is unavailable, or the file cannot be made.
    """
    store = person.store
    data_key = store.unlock_with_code(code)
    clear_away(person)
    if path is None:
        new = store.custody.new_keyring_slot(identity_of(person).store_id, data_key)
    else:
        new = store.custody.new_file_slot(identity_of(person).store_id, data_key, path, store=store.path)
    return _added(person, new, data_key, "recover use")


def create_code(person: Person, *, replacing: bool) -> str:
    """Make a recovery code and return it; the code itself is stored nowhere.

    Raises:
        CallerError: INVALID_ARGUMENTS if there is one already and `replacing` is False.
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
                "Add --replace to make a new one; the old one then no longer opens the store.",
            )
        for slot in old:
            key_slots.change(tx, slot, None)
        key_slots.add(tx, new.place_key())
        person.log(tx, "recover create")
    return code


def remove_key(person: Person, slot_id: str) -> Slot:
    """Remove the slot whose id begins with `slot_id`. This deletes its keyring entry, but not its key file.

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
            "No key slot, or more than one, has an id that begins like this.",
            f"To see the ids: {command()} key list",
        )
    others = [info.slot for info in held if info.slot != chosen[0] and info.counts]
    if not others:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "No other key opens the store here; without this one, nobody could open it.",
            "Add another one first: key add-passphrase, key add-file or recover create.",
        )
    return chosen[0], others


def replace_in_keyring(person: Person) -> list[Slot]:
    """Replace the master key of each slot in this keyring. Return the new slots.

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
            "To replace another kind of key, add a new one and remove the old one.",
        )
    made = []
    for slot in old:
        new = person.store.custody.new_keyring_slot(identity_of(person).store_id, data_key)
        made.append(_added(person, new, data_key, "key rotate", replacing=slot))
        _clear(person, slot.moved(State.LEAVING))
    return made


def clear_away(person: Person) -> None:
    """Finish what a killed process left: slots that are COMING or LEAVING, and key files with an old and a new key.

    A change that a locked keyring or a read-only directory prevents is left for the next call.

    If no finished slot opens the store here now, an unfinished slot that does is kept as THERE. This happens when a
    keyring is restored to an earlier state.
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
                    key_slots.change(tx, slot, slot.moved(State.THERE))
                staying.append(slot.moved(State.THERE))


def unfinished(person: Person) -> bool:
    """Return whether `clear_away` has something to do."""
    with person.store.read() as tx:
        slots, store_id = key_slots.list_all(tx), tx.cipher.store_id
    return any(
        slot.state is not State.THERE or key_change.is_unfinished(person.store.custody, store_id, slot)
        for slot in slots
    )


def record_and_place(person: Person, new: Sequence[NewSlot], data_key: DataKey) -> None:
    """Record slots as COMING, then put their keys in place. Raises `CustodyError`; `clear_away` undoes both."""
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
    """Refuse to wrap a data key that was replaced after it was fetched: it would open nothing."""
    if tx.cipher.generation != data_key.generation:
        raise StoreError(Code.STORE_BUSY, "Another process has replaced the store's key.", "Try again.")


def _added(person: Person, new: NewSlot, data_key: DataKey, action: str, *, replacing: Slot | None = None) -> Slot:
    coming = new.slot.moved(State.COMING)
    with person.store.write() as tx:
        refuse_another(data_key, tx)
        key_slots.add(tx, coming)
    try:
        new.place_key()
    except CustodyError:
        with person.store.write() as tx:
            key_slots.change(tx, coming, None)
        raise
    kept = False
    try:
        with person.store.write() as tx:
            key_slots.change(tx, coming, new.slot)
            if replacing is not None:
                key_slots.change(tx, replacing, replacing.moved(State.LEAVING))
            person.log(tx, action)
        kept = True
    finally:
        if not kept and not _is_recorded(person, new.slot):
            new.remove_key()
    return new.slot


def _is_recorded(person: Person, slot: Slot) -> bool:
    """Return whether the store has the slot; True if it cannot be read, so that the slot's key is not removed."""
    try:
        with person.store.read() as tx:
            return slot in key_slots.list_all(tx)
    except SecretsError:
        return True


def _remove(person: Person, slot: Slot, action: str, others: Sequence[Slot]) -> None:
    """Remove a slot, provided that the store still has one of `others`, which open it."""
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
