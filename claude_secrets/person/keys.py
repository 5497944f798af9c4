"""The keys of a store, for the person: listing, adding, removing and replacing key slots.

Always: whenever the process is killed, one slot still opens the store, and the store knows of every key. A slot is
recorded before its key is put in place, and removed after its key is gone. In between it is COMING or LEAVING, and the
next command about keys clears it away.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from claude_secrets.errors import CallerError, Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys import key_change, passphrase, recovery_code
from claude_secrets.keys.cipher import DataKey, StoreIdentity, sealed_at
from claude_secrets.keys.slot import KEYRING, PASSPHRASE, NewSlot, Slot, State
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.transaction import Transaction


class KeyInfo(NamedTuple):
    """A key slot, when it was wrapped (seconds since 1970), and why it does not open the store here and now.

    `failure` None: it does, or (`tried` False) it wants a passphrase or code that nobody was asked for.
    """

    slot: Slot
    since: int
    failure: CustodyError | None
    tried: bool = True

    @property
    def counts(self) -> bool:
        """Whether this is a key that the person has, as far as can be told here and now."""
        return self.failure is None and self.slot.state is State.THERE


def list_keys(person: Person) -> list[KeyInfo]:
    """All key slots, the oldest first.

    Raises:
        CustodyError: none of them opens the store.
        StoreError: STORE_TAMPERED.
    """
    with person.store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    infos = [_info(person, identity, slot) for slot in slots]
    return sorted(infos, key=lambda info: info.since)


def list_unopenable(person: Person) -> list[KeyInfo]:
    """All key slots of a store that none of them opens; nothing vouches for them. Raises `StoreError`."""
    identity, slots = person.store.key_state()
    return [_info(person, identity, slot) for slot in slots]


def _info(person: Person, identity: StoreIdentity, slot: Slot) -> KeyInfo:
    failure, since = person.store.custody.probe(identity, slot), sealed_at(slot.wrapped)
    if slot.kind == PASSPHRASE:
        return KeyInfo(slot=slot, since=since, failure=None, tried=failure is None)
    return KeyInfo(slot=slot, since=since, failure=failure)


def add_passphrase(person: Person, new: str) -> Slot:
    """Let a passphrase open the store, too. Raises `CallerError` INVALID_VALUE for one that is easy to guess."""
    passphrase.check(new, passphrase.known_words(*person.directories))
    return _with_passphrase(person, new, "key add-passphrase", recovery=False)


def add_file(person: Person, path: Path) -> Slot:
    """Let a new key file open the store, too. Raises `CustodyError` where it cannot be made there."""
    store, data_key = person.store, person.store.fetch_key()
    clear_away(person)
    new = store.custody.new_file_slot(identity_of(person).store_id, data_key, path, store=store.path)
    return _added(person, new, data_key, "key add-file")


def recover(person: Person, code: str, path: Path | None) -> Slot:
    """Open the store with its recovery code, and make a new key for it in the OS keyring, or in a new file at `path`.

    Raises:
        CallerError: INVALID_VALUE, naming the group of the code that was mistyped.
        CustodyError: the code is another store's; the keyring cannot be had, or the file not be made.
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
    """Make a recovery code and return it; it is not kept anywhere.

    Raises:
        CallerError: INVALID_ARGUMENTS where there is one already and it is not to be replaced.
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
                "The store has a recovery code already.",
                "With --replace a new one is made, and the old one opens nothing any more.",
            )
        for slot in old:
            key_slots.change(tx, slot, None)
        key_slots.add(tx, new.place_key())
        person.log(tx, "recover create")
    return code


def remove_key(person: Person, slot_id: str) -> Slot:
    """Remove the slot whose id begins with `slot_id`; a keyring entry goes with it, a key file stays where it is.

    Raises:
        CallerError: NOT_FOUND; INVALID_ARGUMENTS where no other slot would open the store.
        CustodyError: the keyring entry cannot be deleted; the slot is LEAVING then.
    """
    clear_away(person)
    held = list_keys(person)
    chosen = [info.slot for info in held if info.slot.slot_id.startswith(slot_id)]
    if len(chosen) != 1 or not slot_id:
        raise CallerError(
            Code.NOT_FOUND, "There is no key slot, or more than one, whose id begins so.", "See key list."
        )
    others = [info.slot for info in held if info.slot != chosen[0] and info.counts]
    if not others:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "No other key opens the store here: without this one nobody would open it any more.",
            "Add another one first: key add-passphrase, key add-file or recover create.",
        )
    _remove(person, chosen[0], "key remove", others)
    return chosen[0]


def replace_in_keyring(person: Person) -> list[Slot]:
    """Replace the master key of each slot of this keyring; returns the new slots.

    Raises:
        CallerError: INVALID_ARGUMENTS where no key of the store is in this keyring.
        CustodyError: the keyring cannot be had.
    """
    clear_away(person)
    data_key = person.store.fetch_key()
    old = [info.slot for info in list_keys(person) if info.slot.kind == KEYRING and info.failure is None]
    if not old:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "No key of this store is in the system's keyring.",
            "Another kind of key is replaced by adding a new one and removing the old one.",
        )
    made = []
    for slot in old:
        new = person.store.custody.new_keyring_slot(identity_of(person).store_id, data_key)
        made.append(_added(person, new, data_key, "key rotate", replacing=slot))
        _clear(person, slot.moved(State.LEAVING))
    return made


def clear_away(person: Person) -> None:
    """Finish what a killed process left: slots that are COMING or LEAVING, key files with an old and a new key.

    What a locked keyring or a read-only directory is in the way of has to wait.

    Where none of the others opens the store here and now (a keyring can be put back to an earlier state), one that does
    stays for good.
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
    """Whether `clear_away` has something to do."""
    with person.store.read() as tx:
        slots, store_id = key_slots.list_all(tx), tx.cipher.store_id
    return any(
        slot.state is not State.THERE or key_change.is_unfinished(person.store.custody, store_id, slot)
        for slot in slots
    )


def record_and_place(person: Person, new: Sequence[NewSlot], data_key: DataKey) -> None:
    """Record slots as COMING, and put their keys in their places. Raises `CustodyError`; `clear_away` undoes it."""
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
    """Refuse to wrap a data key that was replaced since it was fetched: nothing would open by it."""
    if tx.cipher.generation != data_key.generation:
        raise StoreError(Code.STORE_BUSY, "Another process replaced the store's key meanwhile.", "Try again.")


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
    """Whether the store says that the slot is there; if that cannot be told, nothing of it is taken back."""
    try:
        with person.store.read() as tx:
            return slot in key_slots.list_all(tx)
    except SecretsError:
        return True


def _remove(person: Person, slot: Slot, action: str, others: Sequence[Slot]) -> None:
    """Remove a slot, as long as one of `others`, which open the store, is there still."""
    leaving = slot.moved(State.LEAVING)
    in_place = slot.kind == KEYRING or slot.state is not State.THERE
    with person.store.write() as tx:
        if not any(other in others for other in key_slots.list_all(tx)):
            raise StoreError(Code.STORE_BUSY, "Another process changed the key slots meanwhile.", "Try again.")
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
    """The identity of the person's store."""
    with person.store.read() as tx:
        return tx.cipher.identity
