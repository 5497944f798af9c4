"""A store: make it, open it with its key, and run its transactions.

Always: no transaction is open while the keyring is asked. Each opening has its own `connection`. A `Store` is used in
one thread only.
"""

import os
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from claude_secrets.errors import Code, CustodyError, StoreError
from claude_secrets.keys.cipher import Cipher, DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import PASSPHRASE, NewSlot, Slot
from claude_secrets.store import creation, migrations, schema
from claude_secrets.store.connection import Connection, KeyReplaced, OpenedFile
from claude_secrets.store.transaction import Transaction

_ATTEMPTS: Final = 3
"""How often an action is tried while other processes replace the store's keys."""


class Store:
    """The secrets of one person in one file.

    `path` need not exist: the first write makes the store and its key. `now` returns seconds since 1970.
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
    ) -> "Store":
        """Return the store at `path`, with the system's clock. It opens nothing yet.

        `environment` says where the keys are. `check_key_file` refuses key files that must not be used.
        `ask_passphrase` is called if only a passphrase opens the store.
        """
        custody = Custody(environment=environment, check_key_file=check_key_file, ask_passphrase=ask_passphrase)
        return cls(path, custody, time.time)

    def exists(self) -> bool:
        """Whether there is a file at the store's path (a store, or a file that will be refused)."""
        return os.path.lexists(self.path)

    def close(self) -> None:
        """Close the connection and forget the key."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def key_files(self) -> list[Path]:
        """Where this store's key files are looked for, or where the first one would be made. This needs no key."""
        named = [] if self.custody.named_file is None else [self.custody.named_file]
        if not self.exists():
            return named
        return named + [path for slot in self.slots() if (path := self.custody.file_of(slot)) is not None]

    def slots(self, *, immutable: bool = False) -> list[Slot]:
        """Return this store's key slots. This needs no key and verifies nothing. `immutable` is as in `read`."""
        return self._open(immutable=immutable).slots()

    def key_state(self) -> tuple[StoreIdentity, list[Slot]]:
        """Return the store's identity and its key slots. This needs no key and verifies nothing."""
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
        """Fetch the data key again. In between, only keys that are derived from it are kept.

        Raises:
            CustodyError: the key cannot be fetched.
        """
        return self._fetched(self._open(), self.custody.unlock)[0]

    def unlock_with_code(self, code: str) -> DataKey:
        """Fetch the data key with a recovery code.

        Raises:
            CallerError: INVALID_VALUE, with the number of the mistyped group.
            CustodyError: the store has no recovery code, or another one.
        """
        return self._fetched(
            self._open(),
            lambda identity, slots: self.custody.unlock_with_code(identity, slots, code),
        )[0]

    @contextmanager
    def read(self, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        """Open a transaction that sees one state of the store and changes nothing. The store must exist.

        Two arguments are for the person only. With `whole` False, a record can be read even if another record or the
        store's head is damaged. `immutable` reads a store in a read-only place without locks.
        """
        with self._transaction(writes=False, whole=whole, immutable=immutable) as tx:
            yield tx

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Open a transaction that is committed as a whole when the block ends, and rolled back if the block raises.

        If there is no store yet, this makes the store and its key. The OS keyring holds the key, or the file that
        `CLAUDE_SECRETS_KEY_FILE` names. A transaction that is not `durable` may be lost if the machine loses power, but
        only as a whole; that is enough for a log of reads.
        """
        if not self.exists():
            self._create(lambda store_id, data_key: self.custody.new_first_slot(store_id, data_key, self.path))
        with self._transaction(writes=True, durable=durable) as tx:
            yield tx

    def scrub(self) -> bool:
        """Rewrite the store without deleted data, and empty its write-ahead log. No transaction may be open.

        Returns False if that is not possible now, so old pages remain: another process or connection is reading or
        writing, or there is no space.
        """
        try:
            return self._open().scrub()
        except StoreError:  # the deleted rows stay deleted
            return False

    def refuse_another(self) -> None:
        """Raise `StoreError` (STORE_UNAVAILABLE) if the store already exists."""
        if self.exists():
            raise _there_already()

    def create_with_key_file(self, key_file: Path) -> None:
        """Make the store with its key in a new file instead of the OS keyring.

        Raises:
            StoreError: STORE_UNAVAILABLE if a store exists already.
            CustodyError: the key file cannot be made there.
        """
        if self.custody.named_file not in (None, key_file.absolute()):
            raise CustodyError(
                Code.KEY_MISSING,
                "CLAUDE_SECRETS_KEY_FILE names another file, and the key would be looked for there.",
                "Unset it, or name the same file.",
            )
        slot = self._create_first(
            lambda store_id, data_key: self.custody.new_file_slot(store_id, data_key, key_file, store=self.path)
        )
        if slot.key_file != key_file.absolute():  # this finished a store that another process had begun
            raise _there_already()

    def create_with_passphrase(self, passphrase: str) -> None:
        """Make the store with a key that only this passphrase unwraps.

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
        return creation.create(self.path, self.custody, make_slot, self._now)

    @contextmanager
    def _transaction(
        self, *, writes: bool, whole: bool = True, immutable: bool = False, durable: bool = True
    ) -> Iterator[Transaction]:
        for _ in range(_ATTEMPTS):
            connection = self._open(immutable=immutable)
            cipher = self._cipher_of(connection)
            with (
                suppress(KeyReplaced),  # another process replaced the key: fetch the new one
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
        """Return the data key that `fetch` finds, and its cipher, which the connection keeps."""
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
        """Return the connection. Open a new one if the path no longer leads to the file that was opened."""
        with schema.translated():
            status = self.path.stat()
        file = OpenedFile(status.st_dev, status.st_ino, immutable)
        if self._connection is None or self._connection.file != file:
            self.close()
            if not immutable and os.path.lexists(creation.draft_of(self.path)):
                creation.tidy(self.path)
            migrations.expire(self.path)
            self._connection = Connection(self.path, file, self._now)
        return self._connection


def _there_already() -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        "A store exists already; its key stays where it is.",
        "Name another store with --store, or use the existing one.",
    )
