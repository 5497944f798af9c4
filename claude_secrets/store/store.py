"""A store: making it, opening it with its key, and its transactions.

Always: no transaction is open while the keyring is asked. Each opening has its own `connection`. One thread uses one
`Store`.
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
        """The store at `path`, by this system's clock, with its keys where `environment` says; opens nothing yet.

        `check_key_file` refuses key files that must not be used; `ask_passphrase` is called where only one opens it.
        """
        custody = Custody(environment=environment, check_key_file=check_key_file, ask_passphrase=ask_passphrase)
        return cls(path, custody, time.time)

    def exists(self) -> bool:
        """Whether there is a file at the store's path (a store's, or something else that will be refused)."""
        return os.path.lexists(self.path)

    def close(self) -> None:
        """Close the connection and forget the key."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def key_files(self) -> list[Path]:
        """Where the key files of this store's slots are looked for, or the first one would be made; needs no key."""
        named = [] if self.custody.named_file is None else [self.custody.named_file]
        if not self.exists():
            return named
        return named + [path for slot in self.slots() if (path := self.custody.file_of(slot)) is not None]

    def slots(self, *, immutable: bool = False) -> list[Slot]:
        """This store's key slots; needs no key, so nothing vouches for them. `immutable` as in `read`."""
        return self._open(immutable=immutable).slots()

    def key_state(self) -> tuple[StoreIdentity, list[Slot]]:
        """The store's identity and its key slots; needs no key, so nothing vouches for them."""
        return self._open().key_state()

    @property
    def unlocked(self) -> bool:
        """Whether the data key is in memory."""
        return self._connection is not None and self._connection.cipher is not None

    def unlock(self) -> None:
        """Fetch the data key if it is not in memory yet.

        Raises:
            CustodyError: it cannot be had.
            StoreError: the file cannot be read or is not a store.
        """
        self._cipher_of(self._open())

    def fetch_key(self) -> DataKey:
        """The data key, fetched once more: it is not kept, only what is derived from it.

        Raises:
            CustodyError: it cannot be had.
        """
        return self._fetched(self._open(), self.custody.unlock)[0]

    def unlock_with_code(self, code: str) -> DataKey:
        """Fetch the data key by a recovery code.

        Raises:
            CallerError: INVALID_VALUE, naming the group that was mistyped.
            CustodyError: the store has none, or another one.
        """
        return self._fetched(
            self._open(),
            lambda identity, slots: self.custody.unlock_with_code(identity, slots, code),
        )[0]

    @contextmanager
    def read(self, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        """A transaction that sees one state of the store and changes nothing. The store must exist.

        For the person alone: `whole` False reads a record even where another one, or the store's head, is damaged;
        `immutable` reads a store in a read-only place without locks.
        """
        with self._transaction(writes=False, whole=whole, immutable=immutable) as tx:
            yield tx

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        """A transaction that is committed whole when the block ends, and rolled back when it raises.

        Makes the store and its key, held by the OS keyring (or by the file that `CLAUDE_SECRETS_KEY_FILE` names),
        where there is no store yet. One that is not `durable` may be lost with the machine's power, though never by
        halves: enough for a log of what was read.
        """
        if not self.exists():
            self._create(lambda store_id, data_key: self.custody.new_first_slot(store_id, data_key, self.path))
        with self._transaction(writes=True, durable=durable) as tx:
            yield tx

    def scrub(self) -> bool:
        """Rewrite the store without what was deleted, and empty its log of changes; takes no transaction.

        Returns False where that cannot be now, so that old pages stay: something else goes on reading or writing, or
        there is no space.
        """
        try:
            return self._open().scrub()
        except StoreError:  # what was deleted stays deleted
            return False

    def refuse_another(self) -> None:
        """Raise `StoreError` STORE_UNAVAILABLE where there is a store already."""
        if self.exists():
            raise _there_already()

    def create_with_key_file(self, key_file: Path) -> None:
        """Make the store with its key in a new file instead of the OS keyring.

        Raises:
            StoreError: STORE_UNAVAILABLE where a store exists already.
            CustodyError: the key file cannot be made there.
        """
        if self.custody.named_file not in (None, key_file.absolute()):
            raise CustodyError(
                Code.KEY_MISSING,
                "CLAUDE_SECRETS_KEY_FILE names another file, in which the key would be looked for.",
                "Unset it, or name the same file.",
            )
        slot = self._create_first(
            lambda store_id, data_key: self.custody.new_file_slot(store_id, data_key, key_file, store=self.path)
        )
        if slot.key_file != key_file.absolute():  # what another process had begun was finished
            raise _there_already()

    def create_with_passphrase(self, passphrase: str) -> None:
        """Make the store with a key that this passphrase alone unwraps.

        Raises:
            StoreError: STORE_UNAVAILABLE where a store exists already.
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
                suppress(KeyReplaced),  # by another process: fetch the new one
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
        """The data key as `fetch` finds it, and its cipher, which the connection keeps."""
        identity, slots = seen = connection.key_state()
        try:
            data_key = fetch(identity, slots)
        except CustodyError:
            # The keys may have been replaced between our looking at the store and at where they are.
            if attempts == 1 or connection.key_state() == seen:
                raise
            return self._fetched(connection, fetch, attempts - 1)
        return data_key, connection.use(Cipher(identity.store_id, data_key))

    def _open(self, *, immutable: bool = False) -> Connection:
        """The connection, opened anew where the file at the path is no longer the one that was opened."""
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
        "There is a store already; its key stays where it is.",
        "Name another store with --store, or go on with the one you have.",
    )
