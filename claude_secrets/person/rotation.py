"""Replace a store's data key and every key that unwraps it, and seal every record again with the new data key.

Always: after the change, no earlier key, passphrase or recovery code opens the store. The change is one transaction:
the old keys are valid until it commits, and only the new keys are valid afterwards. If the process is killed,
`keys.clear_away` removes the keys that are not valid.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from claude_secrets.errors import CallerError, Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys import key_change, passphrase
from claude_secrets.keys.cipher import DataKey
from claude_secrets.keys.slot import FILE, KEYRING, PASSPHRASE, NewSlot, Slot, State
from claude_secrets.paths import command
from claude_secrets.person import keys
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.rekey import replace_data_key


class Irreplaceable(NamedTuple):
    """A slot whose key cannot be replaced, and the error that explains the reason."""

    slot: Slot
    failure: CustodyError


def prepare(person: Person) -> tuple[list[Slot], list[Irreplaceable]]:
    """Return all key slots, and the slots that a rotation would remove.

    A rotation removes a slot if the slot's key cannot be reached or replaced on this computer.

    Raises:
        CustodyError: no key slot opens the store.
        StoreError: STORE_TAMPERED.
    """
    keys.clear_away(person)
    custody, fixed = person.store.custody, []
    with person.store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    for slot in slots:
        failure = None if slot.kind == PASSPHRASE else custody.probe(identity, slot)
        failure = failure or key_change.hindrance(custody, slot)
        if failure is not None:
            fixed.append(Irreplaceable(slot, failure))
    return slots, fixed


def check_new(person: Person, slots: Sequence[Slot], new: str) -> str:
    """Return `new` if this passphrase is hard to guess and opens none of `slots`.

    Raises:
        CallerError: INVALID_VALUE.
    """
    passphrase.check(new, passphrase.known_words(*person.directories))
    identity, custody = keys.identity_of(person), person.store.custody
    for slot in slots:
        with suppress(CustodyError, MemoryError):  # a slot that cannot be tried counts as not opened
            if slot.kind == PASSPHRASE and custody.opens(identity, slot, slot.stretching.master_key(new)):
                raise CallerError(
                    Code.INVALID_VALUE,
                    "This passphrase already opens the store.",
                    "Choose a passphrase that was never used.",
                )
    return new


def replace_every_key(
    person: Person,
    slots: Sequence[Slot],
    losing: Sequence[Slot],
    *,
    passphrases: Mapping[str, str],
    code: str,
    progress: Callable[[int, int], None],
) -> bool:
    """Replace every key, and seal every record again with the new data key.

    `slots` are the slots that the person was shown. `losing` are the slots that the person agreed to lose.
    `passphrases` maps the ids of the other passphrase slots to new passphrases. `code` is the new recovery code; it is
    ignored if the store has no recovery code. `progress` receives the numbers of finished rows and of all rows. Returns
    False if old pages still contain data sealed with the old key (see `Store.scrub`).

    Raises:
        CallerError: INVALID_ARGUMENTS if no key would open the store.
        StoreError: STORE_BUSY if the store's slots differ from `slots`, or another process has replaced the data key.
        CustodyError: a key cannot be stored. After any error the old keys are still valid.
    """
    _require_one([slot for slot in slots if slot not in losing])
    store, store_id = person.store, keys.identity_of(person).store_id
    old = store.fetch_key()
    data_key = old.successor()
    texts = {**passphrases} | {slot.slot_id: code for slot in slots if slot.is_recovery}
    new = {slot: _new(person, slot, data_key, texts) for slot in slots if slot not in losing and slot.kind != FILE}
    in_keyring = [made for slot, made in new.items() if slot.kind == KEYRING]
    coming = [made.slot.moved(State.COMING) for made in in_keyring]
    try:
        keys.record_and_place(person, in_keyring, old)
        with store.write() as tx:
            keys.refuse_another(old, tx)
            if {*key_slots.list_all(tx)} != {*slots, *coming}:
                raise StoreError(Code.STORE_BUSY, "Another process has changed the key slots.", "Try again.")
            for slot in coming:
                key_slots.change(tx, slot, slot.moved(State.THERE))
            for slot in slots:
                if slot.kind == FILE and slot not in losing:
                    key_slots.change(tx, slot, key_change.begin(store.custody, store_id, slot, data_key))
                elif slot.kind == KEYRING:  # removed after its keyring entry, which unwraps nothing until then
                    key_slots.change(tx, slot, slot.moved(State.LEAVING)._replace(wrapped=b""))
                else:
                    key_slots.change(tx, slot, new[slot].slot if slot in new else None)
            replace_data_key(tx, data_key, progress)
            person.log(tx, "key rotate --data")
    finally:
        with suppress(SecretsError):  # `keys.unfinished` reports the changes that are left
            keys.clear_away(person)
    return store.scrub()


def _require_one(kept: Sequence[Slot]) -> None:
    if not kept:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "No key would be left to open the store.",
            f"Add another key first, for example a passphrase: {command()} key add-passphrase",
        )


def _new(person: Person, slot: Slot, data_key: DataKey, texts: Mapping[str, str]) -> NewSlot:
    """Return the slot that replaces a keyring slot or passphrase slot.

    `texts` maps a passphrase slot's id to its new passphrase or recovery code.
    """
    custody, store_id = person.store.custody, keys.identity_of(person).store_id
    if slot.kind == KEYRING:
        return custody.new_keyring_slot(store_id, data_key)
    return custody.new_passphrase_slot(store_id, data_key, texts[slot.slot_id], recovery=slot.is_recovery)
