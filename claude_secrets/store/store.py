"""The store: opening it with its key, making it, and its transactions.

Always: no transaction is open while the keyring is asked; a transaction's cipher fits the key generation it read;
a write renews the store's head in the same transaction. One thread uses one `Store`. The doorway opens
transactions; `records`, `grants` and `limits` take them.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from claude_secrets.errors import Code, CustodyError, StoreError
from claude_secrets.keys.cipher import Cipher, DataKey, EnvelopeMismatch, TokenInvalid
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import PASSPHRASE, NewSlot, Slot
from claude_secrets.store import creation, migrations, schema
from claude_secrets.store.transaction import HEAD, Memory, StoreHead, Transaction, tampered


class Store:
    """The secrets of one person in one file.

    `path` need not exist: the first write makes the store and its key. `now` returns seconds since 1970.
    """

    def __init__(self, path: Path, custody: Custody, now: Callable[[], float]) -> None:
        self.path = path
        self.custody = custody
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int, bool] | None = None
        self._verified_at = -1
        self._synchronous = ""
        self._head: tuple[bytes, StoreHead] | None = None
        self._memory = Memory()
        self._cipher: Cipher | None = None
        self._slots_checked = False

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
        self._connection = self._file = self._cipher = None

    def key_files(self) -> list[Path]:
        """Where the key files of this store's slots are looked for, or the first one would be made; needs no key."""
        named = [] if self.custody.named_file is None else [self.custody.named_file]
        if not self.exists():
            return named
        return named + [path for slot in self.slots() if (path := self.custody.file_of(slot)) is not None]

    def slots(self, *, immutable: bool = False) -> list[Slot]:
        """This store's key slots; needs no key, so nothing vouches for them. `immutable` as in `read`."""
        return self._slots(self._open(immutable=immutable))

    def key_state(self) -> tuple[str, int, list[Slot]]:
        """The store's id, its key generation and its key slots; needs no key, so nothing vouches for them."""
        return self._key_state_of(self._open())

    @property
    def unlocked(self) -> bool:
        """Whether the data key is in memory."""
        return self._cipher is not None

    def unlock(self) -> None:
        """Fetch the data key if it is not in memory yet.

        Raises:
            CustodyError: it cannot be had.
            StoreError: the file cannot be read or is not a store.
        """
        self._unlocked(self._open())

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
        data_key, self._cipher = self._fetched(
            self._open(),
            lambda store_id, slots, generation: self.custody.unlock_with_code(store_id, slots, code, generation),
        )
        return data_key

    @contextmanager
    def read(self, *, whole: bool = True, immutable: bool = False) -> Iterator[Transaction]:
        """A transaction that sees one state of the store and changes nothing. The store must exist.

        For the person alone: `whole` False reads a record even where another one, or the store's head, is damaged;
        `immutable` reads a store in a read-only place without locks.
        """
        with self._transaction("BEGIN", whole=whole, immutable=immutable) as tx:
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
        with self._transaction("BEGIN IMMEDIATE", durable=durable) as tx:
            yield tx
            if tx.dirty:
                self._head = (tx.renew_head(), tx.head)  # in memory before it is committed: it counts where it stands

    def scrub(self) -> bool:
        """Rewrite the store without what was deleted, and empty its log of changes; takes no transaction.

        Returns False where that cannot be now, so that old pages stay: something else goes on reading or writing, or
        there is no space.
        """
        try:
            connection = self._open()
            with schema.translated():
                # Pages that were split still hold copies of cells that moved; only writing all of them anew is sure.
                connection.execute("VACUUM")
                busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except StoreError:  # what was deleted stays deleted
            return False
        return busy == 0

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
        self, begin: str, *, whole: bool = True, immutable: bool = False, durable: bool = True
    ) -> Iterator[Transaction]:
        for _ in range(3):
            connection = self._open(immutable=immutable)
            cipher = self._unlocked(connection)
            tx = None
            try:
                with schema.translated():
                    self._synchronize(connection, "FULL" if durable else "NORMAL")
                    connection.execute(begin)
                    seen = _data_version(connection)
                    if seen != self._verified_at and schema.format_of(connection) < schema.FORMAT:
                        self._migrate(connection, cipher)
                        continue
                    tx = self._begun(connection, cipher, seen, whole=whole)
                    if tx is None:  # another process replaced the data key since: fetch the new one
                        self._cipher = None
                        continue
                    yield tx
                    # Reading has nothing to commit, and where a page is damaged SQLite would not.
                    connection.execute("ROLLBACK" if begin == "BEGIN" else "COMMIT")
                    return
            finally:
                if tx is not None:
                    tx.close()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        raise StoreError(Code.STORE_BUSY, "The store's key is being replaced.", "Try again in a moment.")

    def _migrate(self, connection: sqlite3.Connection, cipher: Cipher) -> None:
        """Bring the store up to date in a transaction of its own, which every one that finds it older begins with."""
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        if schema.format_of(connection) >= schema.FORMAT:  # another process was first
            return
        tx = self._begun(connection, cipher, _data_version(connection), whole=True)
        if tx is None:
            self._cipher = None
            return
        migrations.migrate(tx, self.path)
        tx.renew_head()
        tx.close()
        connection.execute("COMMIT")
        self._verified_at = -1

    def _synchronize(self, connection: sqlite3.Connection, how: str) -> None:
        if how != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {how}")
            self._synchronous = how

    def _begun(self, connection: sqlite3.Connection, cipher: Cipher, seen: int, *, whole: bool) -> Transaction | None:
        changed = seen != self._verified_at  # another connection wrote since, or this one is new
        if changed:  # a newer version may have migrated the store while we run
            schema.check_format(connection)
        rows = connection.execute("SELECT store_id, generation, head, id FROM store").fetchall()
        if [row[3] for row in rows] != [1]:
            raise tampered("the store's head")
        row = rows[0]
        if row[:2] != (cipher.store_id, cipher.generation):
            return None
        if changed:
            self._memory = Memory()
        head = self._opened_head(cipher, row[2], whole=whole)
        tx = Transaction(connection, cipher, head, self._now(), self._memory if whole else None)
        if whole and not self._slots_checked:
            tx.verify_table("key_slots", head.slots)
            self._slots_checked = True
        if whole and changed:
            tx.verify_records()
            self._verified_at = seen
        return tx

    def _opened_head(self, cipher: Cipher, token: bytes, *, whole: bool) -> StoreHead:
        if self._head is None or self._head[0] != token:
            try:
                self._head = (token, StoreHead.read(cipher.open(*HEAD, token)))
            except (TokenInvalid, EnvelopeMismatch):
                if whole:
                    raise tampered("the store's head") from None
                return StoreHead(changes=0, records="", grants="", counters="", slots="")  # it vouches for nothing
        return self._head[1]

    def _unlocked(self, connection: sqlite3.Connection) -> Cipher:
        if self._cipher is None:
            self._cipher = self._fetched(connection, self.custody.unlock)[1]
        return self._cipher

    def _fetched(
        self, connection: sqlite3.Connection, fetch: Callable[[str, Sequence[Slot], int], DataKey]
    ) -> tuple[DataKey, Cipher]:
        for last in (False, False, True):
            store_id, generation, slots = seen = self._key_state_of(connection)
            try:
                data_key = fetch(store_id, slots, generation)
            except CustodyError:
                # The keys may have been replaced between our looking at the store and at where they are.
                if last or self._key_state_of(connection) == seen:
                    raise
                continue
            break
        self._slots_checked = False
        return data_key, Cipher(store_id, data_key)

    def _key_state_of(self, connection: sqlite3.Connection) -> tuple[str, int, list[Slot]]:
        with schema.translated():
            row = connection.execute("SELECT store_id, generation FROM store WHERE id = 1").fetchone()
        if row is None:
            raise tampered("the store's head")
        return row[0], row[1], self._slots(connection)

    def _slots(self, connection: sqlite3.Connection) -> list[Slot]:
        with schema.translated():
            rows = connection.execute("SELECT slot_id, kind, params, wrapped FROM key_slots ORDER BY 1").fetchall()
        return [Slot(*row) for row in rows]

    def _open(self, *, immutable: bool = False) -> sqlite3.Connection:
        """The connection, opened anew where the file at the path is no longer the one that was opened."""
        with schema.translated():
            status = self.path.stat()
        wanted = (status.st_dev, status.st_ino, immutable)
        if self._connection is None or self._file != wanted:
            self.close()
            if not immutable and os.path.lexists(creation.draft_of(self.path)):
                creation.tidy(self.path)
            migrations.expire(self.path)
            self._connection = schema.connect(self.path, immutable=immutable)
            self._file = wanted
            self._verified_at, self._synchronous, self._head = -1, "", None
        return self._connection


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has written."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def _there_already() -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        "There is a store already; its key stays where it is.",
        "Name another store with --store, or go on with the one you have.",
    )
