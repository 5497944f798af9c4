"""Create a store, open it with its key, and run transactions on it.

Always: no transaction is open while the OS keyring is queried. Every opened file has its own `Connection`. Each `Store`
is used by only one thread.
"""

import os
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from claude_secrets.errors import CallerError, Code, CustodyError, StoreError
from claude_secrets.keys.cipher import Cipher, DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import PASSPHRASE, NewSlot, Slot
from claude_secrets.store import creation, location, migrations, schema
from claude_secrets.store.connection import Connection, KeyReplaced, OpenedFile
from claude_secrets.store.transaction import Transaction

_ATTEMPTS: Final = 3
"""How many times an action is tried while other processes replace the store's keys."""


class Store:
    """The secrets of one person in one file.

    If there is no file at `path`, the first write creates the store and its key. `now` returns the current time in
    seconds since 1970.
    """

    def __init__(self, path: Path, custody: Custody, now: Callable[[], float]) -> None:
        self.path = path
        self.custody = custody
        self._now = now
        self._connection: Connection | None = None

    @classmethod
    def at(
        cls,
        path: Path,
        environment: MutableMapping[str, str],
        *,
        check_key_file: Callable[[Path], None] | None = None,
        ask_passphrase: Callable[[], str] | None = None,
        for_person: bool = False,
    ) -> "Store":
        """Return the store at `path`, with the system's clock. No file is opened yet.

        `environment` has the environment variables that say where the keys are. `check_key_file` raises an error for a
        key file that must not be used. `ask_passphrase` is called if only a passphrase can open the store. Errors show
        the paths of key files if `for_person` is true.
        """
        custody = Custody(
            environment=environment,
            check_key_file=check_key_file,
            ask_passphrase=ask_passphrase,
            for_person=for_person,
        )
        return cls(path, custody, time.time)

    def exists(self) -> bool:
        """Whether there is a file at the store's path, even if it is not a store and opening it will fail."""
        return os.path.lexists(self.path)

    def close(self) -> None:
        """Close the connection and forget the key."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def key_files(self) -> list[Path]:
        """Return where this store's key files are, or where the first key file would be created. No key is needed."""
        named = [] if self.custody.named_file is None else [self.custody.named_file]
        if not self.exists():
            return named
        return named + [path for slot in self.slots() if (path := self.custody.file_of(slot)) is not None]

    def slots(self, *, immutable: bool = False) -> list[Slot]:
        """Return this store's key slots without verifying them. No key is needed. `read` describes `immutable`."""
        return self._open(immutable=immutable).slots()

    def key_state(self) -> tuple[StoreIdentity, list[Slot]]:
        """Return the store's identity and its key slots without verifying them. No key is needed."""
        return self._open().key_state()

    @property
    def unlocked(self) -> bool:
        """Whether the data key is in memory."""
        return self._connection is not None and self._connection.cipher is not None

    def unlock(self) -> None:
        """Fetch the data key if it is not in memory yet.

        Raises:
            CustodyError: the key cannot be fetched.
            StoreError: the file cannot be read, or it is not a store.
        """
        self._cipher_of(self._open())

    def require_key(self) -> None:
        """Check that the next write has a key: the store's, or a place for the key of a new store.

        Raises:
            CustodyError: the key cannot be fetched, or the OS keyring does not work.
            StoreError: as `unlock`.
        """
        if self.exists():
            self.unlock()
        elif self.custody.named_file is None:
            self.custody.require_place(None, self.path)

    def fetch_key(self) -> DataKey:
        """Fetch the data key again and return it. The store itself keeps only keys that are derived from the data key.

        Raises:
            CustodyError: the key cannot be fetched.
        """
        return self._fetched(self._open(), self.custody.unlock)[0]

    def unlock_with_code(self, code: str) -> DataKey:
        """Fetch the data key with a recovery code.

        Raises:
            CallerError: INVALID_VALUE, with the number of the mistyped group.
            CustodyError: the store has no recovery code, or a different one.
        """
        return self._fetched(
            self._open(),
            lambda identity, slots: self.custody.unlock_with_code(identity, slots, code),
        )[0]

    @contextmanager
    def read(self, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        """Open a read-only transaction on a snapshot of the store. The store must exist.

        A transaction for an agent must use the default arguments. If `whole` is False, a record can be
        read even if another record or the store's head is damaged. If `immutable` is True, the store is read without
        locks, which also works in a read-only directory.
        """
        with self._transaction(writes=False, whole=whole, immutable=immutable) as tx:
            yield tx

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Open a transaction that is committed as a whole when the block ends, and rolled back if the block raises.

        If there is no store yet, the store and its key are created first, unless `refuse_removed` raises its error. The
        key is stored in the OS keyring, or in the file that `CLAUDE_SECRETS_KEY_FILE` names. If `durable` is False, a
        power failure may undo the whole transaction, but never a part of it. This is good enough for writing log
        entries about reads.
        """
        if not self.exists():
            self.refuse_removed()
            self._create(lambda store_id, data_key: self.custody.new_first_slot(store_id, data_key, self.path))
        with self._transaction(writes=True, durable=durable) as tx:
            yield tx

    def scrub(self) -> bool:
        """Rewrite the store without deleted data, and empty its write-ahead log. No transaction may be open.

        Returns False if old pages remain, because another process or connection is reading or writing the store, or
        because there is not enough space.
        """
        try:
            return self._open().scrub()
        except StoreError:  # deleted rows stay deleted; only their old pages remain
            return False

    def refuse_another(self) -> None:
        """Raise `StoreError` (STORE_UNAVAILABLE) if the store already exists."""
        if self.exists():
            raise _there_already()

    def refuse_removed(self) -> None:
        """Raise `StoreError` (STORE_UNAVAILABLE) if the store was removed after this process opened it.

        The person removed it while a client was running. A client's next write must not make a new store.
        """
        if self._connection is not None and not self.exists():
            raise StoreError(
                Code.STORE_UNAVAILABLE,
                "The store was removed after this program opened it; nothing was stored.",
                "To begin with a new store, restart the server (in the client: reconnect it).",
            )

    def create_with_key_file(self, key_file: Path) -> None:
        """Create the store with its key in a new file instead of the OS keyring.

        Raises:
            StoreError: STORE_UNAVAILABLE if a store exists already.
            CallerError: INVALID_ARGUMENTS if the key file cannot be created at that path.
        """
        if self.custody.named_file not in (None, key_file.absolute()):
            raise CallerError(
                Code.INVALID_ARGUMENTS,
                "CLAUDE_SECRETS_KEY_FILE names another file, and Claude Secrets would look for the key in that file.",
                "Unset CLAUDE_SECRETS_KEY_FILE, or set it to the same file.",
            )
        slot = self._create_first(
            lambda store_id, data_key: self.custody.new_file_slot(store_id, data_key, key_file, store=self.path)
        )
        if slot.key_file != key_file.absolute():  # `_create` finished a store that another process had begun
            raise _there_already()

    def create_with_passphrase(self, passphrase: str) -> None:
        """Create the store with a data key that only this passphrase can unwrap.

        Raises:
            StoreError: STORE_UNAVAILABLE if a store exists already.
        """
        slot = self._create_first(
            lambda store_id, data_key: self.custody.new_passphrase_slot(store_id, data_key, passphrase, recovery=False)
        )
        if slot.kind != PASSPHRASE:
            raise _there_already()

    def _create_first(self, make_slot: Callable[[str, DataKey], NewSlot]) -> Slot:
        self.refuse_another()
        slot = self._create(make_slot)
        if slot is None:
            raise _there_already()
        return slot

    def _create(self, make_slot: Callable[[str, DataKey], NewSlot]) -> Slot | None:
        with schema.translated():
            location.refuse_private(self.path)
            if self.custody.named_file is not None:
                location.refuse_private(self.custody.named_file, "key file")
        return creation.create(self.path, self.custody, make_slot, self._now)

    @contextmanager
    def _transaction(
        self, *, writes: bool, whole: bool = True, immutable: bool = False, durable: bool = True
    ) -> Iterator[Transaction]:
        for _ in range(_ATTEMPTS):
            connection = self._open(immutable=immutable)
            cipher = self._cipher_of(connection)
            with (
                suppress(KeyReplaced),  # another process replaced the key: fetch the new key
                connection.transaction(cipher, writes=writes, whole=whole, durable=durable) as tx,
            ):
                yield tx
                return
        raise StoreError(Code.STORE_BUSY, "The store's key is being replaced.", "Try again in a moment.")

    def _cipher_of(self, connection: Connection) -> Cipher:
        return connection.cipher or self._fetched(connection, self.custody.unlock)[1]

    def _fetched(
        self,
        connection: Connection,
        fetch: Callable[[StoreIdentity, Sequence[Slot]], DataKey],
        attempts: int = _ATTEMPTS,
    ) -> tuple[DataKey, Cipher]:
        """Get the data key from `fetch`. Return the key and its cipher, and set the cipher on the connection."""
        identity, slots = seen = connection.key_state()
        try:
            data_key = fetch(identity, slots)
        except CustodyError:
            # Another process may have replaced the keys after we read the slots and before we looked for the key.
            if attempts == 1 or connection.key_state() == seen:
                raise
            return self._fetched(connection, fetch, attempts - 1)
        return data_key, connection.use(Cipher(identity.store_id, data_key))

    def _open(self, *, immutable: bool = False) -> Connection:
        """Return the open connection. If the path no longer leads to the opened file, open a new connection."""
        with schema.translated():
            location.refuse_private(self.path)
            status = self.path.stat()
            if not immutable:  # such a file is never changed
                location.refuse_second_name(self.path, status)
        file = OpenedFile(status.st_dev, status.st_ino, immutable)
        if self._connection is None or self._connection.file != file:
            self.close()
            if not immutable:
                location.refuse_mounted_file(self.path)
                if os.path.lexists(creation.draft_of(self.path)):
                    creation.tidy(self.path)
            migrations.expire(self.path)
            self._connection = Connection(self.path, file, self._now)
        return self._connection


def _there_already() -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        "A store already exists, and its key was not moved.",
        "Use the existing store, or choose another path with --store.",
    )
