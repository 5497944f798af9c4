"""Custody of the data key: key slots (wrapped copies of the data key) and the master keys that unwrap them.

Always: a master key is stored only in the OS keyring or in the person's key file, or it is derived from the person's
passphrase or recovery code. No error, no `repr` and no store contains a master key. A slot of one kind never silently
replaces a slot of another kind.
"""

import os
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_secrets.errors import Code, CustodyError, InputError
from claude_secrets.keys import cipher, key_file, unopened
from claude_secrets.keys.cipher import DataKey, EnvelopeMismatch, StoreIdentity, TokenInvalid
from claude_secrets.keys.key_file import PUT_BACK
from claude_secrets.keys.passphrase import Stretching
from claude_secrets.keys.recovery_code import read_code
from claude_secrets.keys.slot import FILE, KEYRING, PASSPHRASE, NewSlot, Slot, as_params
from claude_secrets.paths import command, expanded

if TYPE_CHECKING:
    from claude_secrets.keys.os_keyring import SystemKeyring

KEY_FILE_VARIABLE: Final = "CLAUDE_SECRETS_KEY_FILE"
"""The variable with the key file's path. It overrides the path in every slot. Making a store creates a missing file."""


class KeyringStatus(NamedTuple):
    """The OS keyring's state for `doctor`: its name, whether it works, and the error if it does not work."""

    name: str
    ok: bool
    message: str
    code: Code | None = None
    hint: str | None = None


class Custody:
    """Makes and opens key slots.

    `clock` returns seconds since 1970. `check_key_file` raises an error if a key file's location is not allowed.
    `keyring` is the OS keyring; by default, `environment` and `platform` determine it. `ask_passphrase` asks for the
    store's passphrase and returns it, or raises an error if nobody can be asked. If `for_person` is true, errors show
    the paths of key files. The attribute `named_file` is the path from `CLAUDE_SECRETS_KEY_FILE`, or None.
    """

    def __init__(
        self,
        *,
        environment: MutableMapping[str, str] = os.environ,
        platform: str = sys.platform,
        clock: Callable[[], float] = time.time,
        check_key_file: Callable[[Path], None] | None = None,
        keyring: "SystemKeyring | None" = None,
        ask_passphrase: Callable[[], str] | None = None,
        for_person: bool = False,
    ) -> None:
        named = environment.get(KEY_FILE_VARIABLE)
        self.named_file = expanded(named) if named else None
        self._clock = clock
        self._check_key_file = check_key_file
        self._given_keyring, self._environment, self._platform = keyring, environment, platform
        self._ask_passphrase = ask_passphrase
        self._for_person = for_person
        self._derived: dict[tuple[str, str], bytes] = {}

    @cached_property
    def _keyring(self) -> "SystemKeyring":
        from claude_secrets.keys.os_keyring import SystemKeyring  # slow to import; a key file does not need it

        return self._given_keyring or SystemKeyring(self._environment, self._platform)

    # Opening

    def unlock(self, identity: StoreIdentity, slots: Sequence[Slot]) -> DataKey:
        """Unwrap the data key with the first slot that opens. Try keyring, key file and passphrase in this order.

        This method does not ask for a recovery code. A slot that wraps a data key of a different generation does not
        open the store.

        Raises:
            CustodyError: KEY_MISSING (there is no master key), KEY_WRONG (the master key does not open its slot or must
                not be used), KEYRING_LOCKED or KEYRING_UNAVAILABLE.
        """
        failures = []
        for slot in sorted(slots, key=lambda slot: slot.readiness):
            if slot.kind == PASSPHRASE and (slot.slot_id, slot.params) not in self._derived:
                continue
            try:
                return self._unwrap(identity, slot)
            except CustodyError as error:
                failures.append(error)
        with_passphrase = [slot for slot in slots if slot.kind == PASSPHRASE and not slot.is_recovery]
        if with_passphrase and (text := self._asked()) is not None:
            return self._open_with(text, identity, with_passphrase)
        raise unopened.error_of(failures, slots, for_person=self._for_person)

    def unlock_with_code(self, identity: StoreIdentity, slots: Sequence[Slot], code: str) -> DataKey:
        """Unwrap the data key with a recovery code that the person typed.

        Raises:
            CallerError: INVALID_VALUE, with the number of the mistyped group.
            CustodyError: KEY_MISSING if the store has no recovery code, KEY_WRONG if `code` is not its recovery code.
        """
        self.require_code(identity, slots)
        return self._open_with(read_code(code), identity, [slot for slot in slots if slot.is_recovery])

    def require_code(self, identity: StoreIdentity, slots: Sequence[Slot]) -> None:
        """Raise `CustodyError` KEY_MISSING if the store has no recovery code. The hint names a key that opens it."""
        if not any(slot.is_recovery for slot in slots):
            probes = [self.probe(identity, slot) for slot in slots if slot.kind != PASSPHRASE]
            raise unopened.no_code(probes, slots, for_person=self._for_person)

    def opens(self, identity: StoreIdentity, slot: Slot, master_key: bytes) -> bool:
        """Return whether `master_key` unwraps the slot's data key."""
        with suppress(CustodyError):
            self._unwrap_by(identity, slot, master_key)
            return True
        return False

    def file_of(self, slot: Slot) -> Path | None:
        """Return the path of the slot's key file, or None if it has none. Raises `CustodyError` for an invalid path."""
        path = slot.key_file
        return path and (self.named_file or path)

    def probe(self, identity: StoreIdentity, slot: Slot) -> CustodyError | None:
        """Return the error that prevents opening a keyring or key file slot now, or None if the slot opens."""
        try:
            self._unwrap(identity, slot)
        except CustodyError as error:
            return error
        return None

    # Making

    def require_place(self, path: Path | None, store: Path, *, other: str = "") -> None:
        """Check, before a new key is made, that the OS keyring or a new file at `path` can hold it.

        `other` is the part of a keyring error's hint that says how to keep the key in a file instead. Raises the errors
        of `new_keyring_slot` and `new_file_slot`.
        """
        if path is None:
            with unopened.with_another_place(other):
                self._keyring.read("status")
        else:
            with unopened.as_argument():
                self._check_new_place(path.absolute(), store)
                key_file.refuse_existing(path)

    def new_first_slot(self, store_id: str, data_key: DataKey, store: Path) -> NewSlot:
        """Make a new store's first slot if the person did not choose where to keep its master key.

        If `CLAUDE_SECRETS_KEY_FILE` names a file, the master key is in that file, which may already exist. Otherwise
        the master key is in the keyring.
        """
        if self.named_file is None:
            return self.new_keyring_slot(store_id, data_key)
        return self._new_file_slot(store_id, data_key, self.named_file, store, exists=self.named_file.exists())

    def new_keyring_slot(self, store_id: str, data_key: DataKey) -> NewSlot:
        """Make a slot with a master key in the OS keyring.

        This method already reads from the keyring, so the keyring may ask for its password now. If the person cancels
        the password dialog, nothing has been stored.

        Raises:
            CustodyError: KEYRING_LOCKED or KEYRING_UNAVAILABLE, with the command that uses a key file instead.
                The slot's `place_key` raises the same errors.
        """
        slot_id, master_key = os.urandom(8).hex(), cipher.new_master_key()
        entry = entry_name(store_id, slot_id)
        with unopened.with_another_place():
            self._keyring.read(entry)

        def place_key() -> None:
            with unopened.with_another_place():
                self._keyring.create(entry, master_key.decode("ascii"))

        slot = self.wrapped_by(store_id, Slot(slot_id, KEYRING, "{}", b""), master_key, data_key)
        return NewSlot(slot, place_key, lambda: self.take_away(StoreIdentity(store_id, data_key.generation), slot))

    def new_file_slot(self, store_id: str, data_key: DataKey, path: Path, *, store: Path) -> NewSlot:
        """Make a slot with a master key in a new file at `path`. `store` is the store's path.

        Raises:
            CallerError: INVALID_ARGUMENTS if a key file is not allowed at `path`. The slot's `place_key` raises it if
                the file cannot be created.
        """
        with unopened.as_argument():
            new = self._new_file_slot(store_id, data_key, path.absolute(), store, exists=False)

        def place_key() -> None:
            with unopened.as_argument():
                new.place_key()

        return NewSlot(new.slot, place_key, new.remove_key)

    def new_passphrase_slot(self, store_id: str, data_key: DataKey, passphrase: str, *, recovery: bool) -> NewSlot:
        """Make a slot that `passphrase` opens. If `recovery` is true, `passphrase` is a recovery code."""
        stretching = Stretching.new()
        params = {**stretching.params(), "recovery": True} if recovery else stretching.params()
        slot, master_key = (
            Slot(os.urandom(8).hex(), PASSPHRASE, as_params(params), b""),
            stretching.master_key(passphrase),
        )
        self._derived[slot.slot_id, slot.params] = master_key  # so this process does not ask for the passphrase
        return NewSlot(self.wrapped_by(store_id, slot, master_key, data_key))

    def wrapped_by(self, store_id: str, slot: Slot, master_key: bytes, data_key: DataKey) -> Slot:
        """Return `slot` with `data_key` wrapped by `master_key`. Raises `CustodyError` for a malformed master key."""
        bound = {"store_id": store_id, "slot_id": slot.slot_id, "slot_kind": slot.kind}
        try:
            return slot._replace(wrapped=cipher.wrap(master_key, data_key, now=self._clock(), **bound))
        except TokenInvalid:
            raise CustodyError(Code.KEY_WRONG, "The key file does not contain a key.", "Name another file.") from None

    # Taking away

    def take_away(self, identity: StoreIdentity, slot: Slot) -> None:
        """Delete the slot's keyring entry, or the slot's key file if the file opens the slot.

        Raises:
            CustodyError: KEYRING_LOCKED, KEYRING_UNAVAILABLE.
        """
        if slot.kind == KEYRING:
            entry = entry_name(identity.store_id, slot.slot_id)
            if self._keyring.read(entry) is not None:
                self._keyring.delete(entry)
        elif slot.kind == FILE:
            path = Path(str(slot.key_file))  # CLAUDE_SECRETS_KEY_FILE may name another file, which stays
            with suppress(OSError, CustodyError):
                if any(self.opens(identity, slot, key.master_key) for key in key_file.read_keys(path)):
                    path.unlink()

    def keyring_status(self) -> KeyringStatus:
        """Check whether the OS keyring answers, by reading an entry that does not exist. Nothing is written."""
        name = self._keyring.name
        try:
            self._keyring.read("status")
        except CustodyError as error:
            return KeyringStatus(name=name, ok=False, message=error.message, code=error.code, hint=error.hint)
        return KeyringStatus(name=name, ok=True, message="The system's keyring works.")

    def _new_file_slot(self, store_id: str, data_key: DataKey, path: Path, store: Path, *, exists: bool) -> NewSlot:
        (self._check_place if exists else self._check_new_place)(path, store)
        master_key = self._only_key(path) if exists else cipher.new_master_key()
        slot = Slot(os.urandom(8).hex(), FILE, as_params({"path": str(path)}), b"")
        slot = self.wrapped_by(store_id, slot, master_key, data_key)
        if exists:  # the person's own file: do not make or remove it
            return NewSlot(slot)
        identity = StoreIdentity(store_id, data_key.generation)
        return NewSlot(slot, lambda: key_file.write(path, master_key), lambda: self.take_away(identity, slot))

    def _check_place(self, path: Path, store: Path) -> None:
        if self._check_key_file is not None:
            self._check_key_file(path)
        key_file.refuse_beside(path, store)

    def _check_new_place(self, path: Path, store: Path) -> None:
        if self._check_key_file is not None:
            with unopened.not_yet_made():
                self._check_key_file(path)
        key_file.refuse_beside(path, store)

    def _only_key(self, path: Path) -> bytes:
        with unopened.of_file(for_person=self._for_person):
            held = key_file.read_keys(path)
        if len(held) > 1:
            raise CustodyError(
                Code.KEY_WRONG,
                "This key file contains more than one key, because its key is being replaced.",
                f"Finish the replacement first: run `{command()} key list` for the store that this key file opens.",
            )
        return held[0].master_key

    def _asked(self) -> str | None:
        """Return the passphrase, or None if nobody can be asked for it."""
        try:
            return None if self._ask_passphrase is None else self._ask_passphrase()
        except InputError as error:
            if error.code is Code.NO_INPUT_CHANNEL:
                return None
            raise

    def _open_with(self, passphrase: str, identity: StoreIdentity, slots: Sequence[Slot]) -> DataKey:
        for slot in slots:
            with suppress(CustodyError, MemoryError):  # the slot determines how much memory stretching needs
                master_key = slot.stretching.master_key(passphrase)
                data_key = self._unwrap_by(identity, slot, master_key)
                self._derived[slot.slot_id, slot.params] = master_key  # so the person is not asked a second time
                return data_key
        raise unopened.wrong_secret(recovery=slots[0].is_recovery)

    def _unwrap(self, identity: StoreIdentity, slot: Slot) -> DataKey:
        *others, last = self._master_keys(identity.store_id, slot)
        for master_key in others:  # a key file contains several keys while its key is replaced
            with suppress(CustodyError):
                return self._unwrap_by(identity, slot, master_key)
        return self._unwrap_by(identity, slot, last)

    def _unwrap_by(self, identity: StoreIdentity, slot: Slot, master_key: bytes) -> DataKey:
        bound = {"store_id": identity.store_id, "slot_id": slot.slot_id, "slot_kind": slot.kind}
        try:
            data_key = cipher.unwrap(master_key, slot.wrapped, **bound)
        except TokenInvalid:
            raise unopened.opens_nothing(slot, self.file_of(slot) if self._for_person else None) from None
        except EnvelopeMismatch:
            raise CustodyError(Code.KEY_WRONG, "This key slot belongs to another store.", PUT_BACK) from None
        if data_key.generation != identity.generation:
            raise CustodyError(
                Code.KEY_WRONG,
                "The key belongs to a different generation of this store.",
                "Restore a store and a key that belong together.",
            )
        return data_key

    def _master_keys(self, store_id: str, slot: Slot) -> list[bytes]:
        if slot.kind == KEYRING:
            text = self._keyring.read(entry_name(store_id, slot.slot_id))
            if text is None:
                raise CustodyError(
                    Code.KEY_MISSING, "The system's keyring does not contain this store's key.", PUT_BACK
                )
            return [text.encode("utf-8", "replace")]  # text that is not a key does not open the slot
        if slot.kind == PASSPHRASE:
            if (derived := self._derived.get((slot.slot_id, slot.params))) is None:
                raise CustodyError(Code.KEY_MISSING, "No passphrase was given for this key slot.")
            return [derived]
        path = self.file_of(slot)
        if path is None:
            raise CustodyError(
                Code.KEY_MISSING,
                "This version of Claude Secrets does not support this store's kind of key slot.",
                "Upgrade Claude Secrets.",
            )
        if self._check_key_file is not None:
            self._check_key_file(path)
        with unopened.of_file(for_person=self._for_person):
            return [key.master_key for key in key_file.read_keys(path)]


def entry_name(store_id: str, slot_id: str) -> str:
    """Return the name of the keyring entry with a slot's master key."""
    return f"{store_id}.{slot_id}"
