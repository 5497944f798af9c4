"""One connection to a store's file: its key, its transactions, and a cache that other connections' writes clear.

Always: every opened file has its own connection, so data cached from one file is never used for another. The cipher of
a transaction has the key generation that the transaction read from the store. Changed rows and the new head of the
store are written in the same transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from claude_secrets.keys.cipher import Cipher, EnvelopeMismatch, StoreIdentity, TokenInvalid
from claude_secrets.keys.slot import Slot
from claude_secrets.store import key_slots, migrations, schema
from claude_secrets.store.transaction import HEAD, Memory, StoreHead, Transaction, tampered


class KeyReplaced(Exception):  # noqa: N818  says what happened; it never leaves `Store`
    """The store's data key was replaced after this connection fetched the old one."""


class OpenedFile(NamedTuple):
    """The identity of an opened file (device and inode), and the `immutable` argument of `schema.connect`."""

    device: int
    inode: int
    immutable: bool


class Connection:
    """A connection to the store at `path`.

    `now` returns the current time in seconds since 1970. `cipher` is None until the data key is fetched.

    Raises:
        StoreError: the file cannot be opened, or it is not a store.
    """

    def __init__(self, path: Path, file: OpenedFile, now: Callable[[], float]) -> None:
        self.file = file
        self.sqlite = schema.connect(path, immutable=file.immutable)
        self.cipher: Cipher | None = None
        self._path = path
        self._now = now
        self._slots_checked = False
        self._synchronous = ""
        self._verified_at: int | None = None
        self._head: tuple[bytes, StoreHead] | None = None
        self._memory = Memory()

    def close(self) -> None:
        """Close the connection and forget the key."""
        self.sqlite.close()
        self.cipher = None

    def use(self, cipher: Cipher) -> Cipher:
        """Set the cipher of a newly fetched key, and return the cipher. The key slots must then be verified again."""
        self.cipher, self._slots_checked = cipher, False
        return cipher

    def slots(self) -> list[Slot]:
        """Return the key slots without verifying them."""
        with schema.translated():
            return key_slots.unverified(self.sqlite)

    def key_state(self) -> tuple[StoreIdentity, list[Slot]]:
        """Return the store's identity and its key slots without verifying them."""
        with schema.translated():
            row = self.sqlite.execute("SELECT store_id, generation FROM store WHERE id = 1").fetchone()
        if row is None:
            raise tampered("the store's head")
        return StoreIdentity(*row), self.slots()

    def scrub(self) -> bool:
        """Rewrite all pages and empty the write-ahead log. Returns False if another connection still uses the log.

        Raises:
            StoreError: STORE_BUSY or STORE_FULL.
        """
        with schema.translated():
            # Split pages still hold copies of moved cells; only rewriting all pages removes them reliably.
            self.sqlite.execute("VACUUM")
            busy: int = self.sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return busy == 0

    @contextmanager
    def transaction(self, cipher: Cipher, *, writes: bool, whole: bool, durable: bool) -> Iterator[Transaction]:
        """Open one transaction. `Store.read` and `Store.write` describe the arguments.

        Raises:
            KeyReplaced: the data key was replaced. This is raised before the block begins.
            StoreError: the store failed verification, or SQLite or the operating system failed; nothing is changed.
        """
        begin, end = ("BEGIN IMMEDIATE", "COMMIT") if writes else ("BEGIN", "ROLLBACK")
        tx = None
        try:
            with schema.translated():
                self._synchronize("FULL" if durable else "NORMAL")
                self.sqlite.execute(begin)
                while (seen := self._data_version()) != self._verified_at and self._is_older():
                    self._migrate(cipher)
                    self.sqlite.execute(begin)
                tx = self._begun(cipher, seen, whole=whole)
                yield tx
                if writes and tx.dirty:
                    self._head = (tx.renew_head(), tx.head)  # used later only if the store still has this token
                # A read rolls back: it has nothing to commit, and SQLite refuses to commit if a page is damaged.
                self.sqlite.execute(end)
        finally:
            if tx is not None:
                tx.close()
            if self.sqlite.in_transaction:
                self.sqlite.execute("ROLLBACK")

    def _is_older(self) -> bool:
        return schema.format_of(self.sqlite) < schema.FORMAT

    def _migrate(self, cipher: Cipher) -> None:
        """Roll back the transaction that found an older format, and migrate the store in a new transaction."""
        self.sqlite.execute("ROLLBACK")
        self.sqlite.execute("BEGIN IMMEDIATE")
        if not self._is_older():  # another process has migrated it
            self.sqlite.execute("ROLLBACK")
            return
        with closing(self._begun(cipher, self._data_version(), whole=True)) as tx:
            migrations.migrate(tx, self._path)
            tx.renew_head()
        self.sqlite.execute("COMMIT")
        self._verified_at = None

    def _synchronize(self, how: str) -> None:
        if how != self._synchronous:
            self.sqlite.execute(f"PRAGMA synchronous = {how}")
            self._synchronous = how

    def _begun(self, cipher: Cipher, seen: int, *, whole: bool) -> Transaction:
        changed = seen != self._verified_at  # another connection has written, or this connection is new
        if changed:  # a newer version of this program may have migrated the store
            schema.check_format(self.sqlite)
        rows = self.sqlite.execute("SELECT store_id, generation, head, id FROM store").fetchall()
        if [row[3] for row in rows] != [1]:
            raise tampered("the store's head")
        row = rows[0]
        if row[:2] != cipher.identity:
            self.cipher = None
            raise KeyReplaced
        if changed:
            self._memory = Memory()
        head = self._open_head(cipher, row[2], whole=whole)
        tx = Transaction(self.sqlite, cipher, head, self._now(), self._memory if whole else None)
        if whole and not self._slots_checked:
            tx.verify_table("key_slots", head.slots)
            self._slots_checked = True
        if whole and changed:
            tx.verify_records()
            self._verified_at = seen
        return tx

    def _open_head(self, cipher: Cipher, token: bytes, *, whole: bool) -> StoreHead:
        if self._head is None or self._head[0] != token:
            try:
                self._head = (token, StoreHead.from_envelope(cipher.open(*HEAD, token)))
            except (TokenInvalid, EnvelopeMismatch):
                if whole:
                    raise tampered("the store's head") from None
                return StoreHead(changes=0, records="", grants="", counters="", slots="")  # no rows match it
        return self._head[1]

    def _data_version(self) -> int:
        """Return SQLite's data version, a number that changes when another connection has written."""
        version: int = self.sqlite.execute("PRAGMA data_version").fetchone()[0]
        return version
