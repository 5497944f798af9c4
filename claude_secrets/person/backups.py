"""Backups: write a whole store to one file that a passphrase opens, and make a store from such a file.

Always: a backup is a store with its own key. A backup contains all secrets and their versions, but no grants, counters
or audit events. A backup's file appears only when it is complete. Callers pass the `Person` who runs the command.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from claude_secrets.atomic_file import write_new
from claude_secrets.errors import CallerError, Code, StoreError
from claude_secrets.keys import passphrase
from claude_secrets.keys.cipher import Cipher, DataKey, Envelope, EnvelopeMismatch
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import PASSPHRASE, Slot
from claude_secrets.model import check_name, check_scope, check_value
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots, records, rekey, salvage, schema
from claude_secrets.store.creation import empty_head, refuse_draft_name
from claude_secrets.store.key_slots import row
from claude_secrets.store.location import SplitStoreError
from claude_secrets.store.records import Record
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import HEAD, Transaction, tampered
from claude_secrets.store.versions import Version

_LATEST = 253_402_300_800
"""The first second of the year 10000, which `datetime` cannot represent."""

Progress = Callable[[int, int], None]


class BackupContents(NamedTuple):
    """The numbers of secrets (including deleted secrets) and versions in a backup.

    `wrong` has a sentence for each problem that was found. `logged` says whether the store's log has an entry for the
    backup. `logged` is False if the entry could not be written, for example because the store is damaged or read-only.
    """

    secrets: int
    versions: int
    wrong: tuple[str, ...] = ()
    logged: bool = True


def make(person: Person, path: Path, secret: str, progress: Progress) -> BackupContents:
    """Write a backup of the store to a new file at `path`, with `secret` as its passphrase.

    The backup is a snapshot of one moment. Other processes can write to the store at the same time. If the store is
    damaged, the backup contains every record that can still be opened.

    Raises:
        CallerError: INVALID_VALUE if the passphrase is easy to guess; INVALID_ARGUMENTS if `path` exists.
        StoreError: the store cannot be read, or the file cannot be written; no file is left behind.
    """
    passphrase.check(secret, passphrase.known_words(*person.directories))
    refuse_taken(path)
    refuse_draft_name(path)
    contents, data = _read_backup(person.store, secret, progress)
    with schema.translated():
        if not write_new(path, data):
            refuse_taken(path)
    try:
        with person.store.write(durable=False) as tx:
            person.log(tx, "backup")
    except StoreError:  # a store that cannot be written still needs a backup
        return contents._replace(logged=False)
    return contents


def _read_backup(store: Store, secret: str, progress: Progress) -> tuple[BackupContents, bytes]:
    """Return a backup's contents and bytes. The store may be damaged or read-only."""
    try:
        with store.read() as tx:
            return _copied(tx, secret, progress)
    except StoreError as error:
        if error.code not in (Code.STORE_TAMPERED, Code.STORE_UNAVAILABLE) or isinstance(error, SplitStoreError):
            raise
        damaged = error.code is Code.STORE_TAMPERED
        with store.read(whole=not damaged, immutable=not damaged) as tx:
            contents, data = _copied(tx, secret, progress)
        if damaged and not contents.wrong:
            contents = contents._replace(wrong=(error.message,))
        return contents, data


def verify_backup(path: Path, secret: str) -> BackupContents:
    """Verify every row of a backup.

    Raises:
        CustodyError: the passphrase is wrong.
        StoreError: STORE_FORMAT, STORE_TAMPERED, STORE_UNAVAILABLE.
    """
    with closing(_open_backup(path, secret)) as backup, backup.read(immutable=True) as tx:
        return _verified(tx)


def _verified(tx: Transaction) -> BackupContents:
    live, count = records.verify_all(tx)
    tx.verify_table("key_slots", tx.head.slots)
    for record in live:
        _check(record, list(records.rows(tx, record)))
    return BackupContents(secrets=len(live), versions=count)


def _check(record: Record, rows: Sequence[tuple[int, Envelope]]) -> None:
    """Refuse a record with an invalid name, scope, value or expiry.

    Anyone who knows the passphrase can forge a backup, so a backup may contain records that no command can handle.
    """
    try:
        check_name(record.name)
        check_scope(record.scope)
        history = [(Version.from_envelope(number, envelope), envelope.payload) for number, envelope in rows]
        for version, payload in history:
            if not version.deleted:
                check_value(payload.decode("utf-8"))
        sound = all(0 <= (version.expires or 0) < _LATEST for version, _ in history)
    except (CallerError, EnvelopeMismatch, ValueError):
        sound = False
    if not sound:
        raise tampered("a record of the backup")


def restore_backup(person: Person, path: Path, secret: str, progress: Progress) -> BackupContents:
    """Copy all secrets and versions from a backup into an empty store. Create the store if it does not exist.

    Raises:
        CallerError: INVALID_ARGUMENTS if the store holds secrets.
        CustodyError: the passphrase is wrong, or the store's own key cannot be fetched or made.
        StoreError: the same errors as in `verify_backup`. Nothing is changed.
    """
    with closing(_open_backup(path, secret)) as backup, backup.read(immutable=True) as source:
        contents = _verified(source)
        with person.store.write() as tx:
            _refuse_filled(tx)
            for done, record in enumerate(list(records.iterate_all(source)), start=1):
                rekey.copy_record(tx, record, records.rows(source, record))
                progress(done, contents.secrets)
            person.log(tx, "backup restore")
    return contents


def refuse_filled(person: Person) -> None:
    """Raise `CallerError` INVALID_ARGUMENTS if the person's store holds secrets."""
    if person.store.exists():
        with person.store.read() as tx:
            _refuse_filled(tx)


def _refuse_filled(tx: Transaction) -> None:
    if tx.connection.execute("SELECT EXISTS (SELECT 1 FROM records)").fetchone()[0]:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "The store already holds secrets; a backup can only be restored into an empty store.",
            "Name another store with --store, or add --aside to rename this store first.",
        )


def beside(store: Path, stamp: str) -> Path:
    """Return the path at which a replacement for `store` is made.

    After links are resolved, both stores are in the same directory.
    """
    real = store.resolve()
    return real.with_name(f"{real.name}.restored-{stamp}")


def take_place(store: Store, new: Store, stamp: str) -> Path:
    """Replace `store` with `new`. Return the path to which the old store is renamed.

    `new` is the store that was made at the path from `beside`. At every moment there is a store at the path of `store`:
    the old one or the new one.

    Raises:
        StoreError: STORE_BUSY if a client has the old store open.
    """
    store.close()
    new.close()
    real = store.path.resolve()
    aside = real.with_name(f"{real.name}.aside-{stamp}")
    with schema.translated():
        fold_log_or_refuse(store)
        aside.hardlink_to(real)
        new.path.replace(real)
    return aside


def fold_log_or_refuse(store: Store) -> None:
    """Move the changes in the write-ahead log into the store's file.

    Raises `StoreError` STORE_BUSY if a client has the store open.
    """
    store.close()
    real = store.path.resolve()
    with schema.translated():
        try:
            with closing(sqlite3.connect(real, isolation_level=None, timeout=schema.BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # too damaged for a checkpoint; the file is kept as it is
            pass
        # The last connection removes the log when it closes. So if the log still exists, another connection is open.
        if real.with_name(f"{real.name}-wal").exists():
            raise StoreError(Code.STORE_BUSY, "A client has the store open.", "Stop all clients, then try again.")


def discard(store: Store) -> None:
    """Delete a new store that will not be used, and delete its keys."""
    if not store.exists():
        return
    with store.read() as tx:
        slots, identity = key_slots.list_all(tx), tx.cipher.identity
    for slot in slots:
        store.custody.take_away(identity, slot)
    store.close()
    store.path.unlink()


def _copied(tx: Transaction, secret: str, progress: Progress) -> tuple[BackupContents, bytes]:
    """Copy every record that can be opened to a new store with its own key. Return the store's contents and bytes."""
    store_id, data_key = os.urandom(16).hex(), DataKey.generate()
    custody = Custody(environment={}, clock=lambda: tx.now)
    slot = custody.new_passphrase_slot(store_id, data_key, secret, recovery=False).slot
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.lay_out(connection)
        connection.execute("BEGIN")
        copy = _new_store(connection, store_id, data_key, slot, tx.now)
        kept, count, wrong = 0, 0, list[str]()
        for examined in salvage.examine(tx, progress):
            if examined.record is not None:
                rekey.copy_record(copy, examined.record, examined.rows)
                kept, count = kept + 1, count + len(examined.rows)
            wrong += examined.wrong
        copy.renew_head()
        connection.execute("COMMIT")
        data = schema.as_file(connection)
    return BackupContents(secrets=kept, versions=count, wrong=tuple(wrong)), data


def _new_store(connection: sqlite3.Connection, store_id: str, data_key: DataKey, slot: Slot, now: float) -> Transaction:
    cipher = Cipher(store_id, data_key)
    head = empty_head(cipher, slot)
    token = cipher.seal(*HEAD, fields=head._asdict(), now=now)
    connection.execute("INSERT INTO store VALUES (1, ?, ?, ?)", (store_id, data_key.generation, token))
    connection.execute("INSERT INTO key_slots VALUES (?, ?, ?, ?)", row(slot))
    return Transaction(connection, cipher, head, now)


def _open_backup(path: Path, secret: str) -> Store:
    require(path)
    return Store(path, Custody(environment={}, ask_passphrase=lambda: secret), lambda: 0.0)


def require(path: Path) -> None:
    """Check that the file at `path` is a backup. No passphrase is needed.

    Raises:
        CallerError: INVALID_ARGUMENTS if there is no file.
        StoreError: STORE_FORMAT, STORE_TAMPERED or STORE_UNAVAILABLE.
    """
    try:
        there = path.is_file()
    except OSError:  # the path is not valid on this system
        there = False
    if not there:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no backup file at that path.", "Check the path.")
    with closing(Store(path, Custody(environment={}), lambda: 0.0)) as backup:
        try:
            slots = backup.slots(immutable=True)
        except StoreError as error:
            raise _of_backup(error) from None
    if [slot.kind for slot in slots] != [PASSPHRASE]:
        raise StoreError(
            Code.STORE_FORMAT,
            "The file is not a backup: a backup has exactly one key, and that key is a passphrase.",
            "Name another file.",
        )


def _of_backup(error: StoreError) -> StoreError:
    """Return an error of opening a store as an error of opening a backup."""
    newer = "has format" in error.message
    if error.code is Code.STORE_FORMAT and not newer:
        return StoreError(error.code, "The file is not a backup.", "Name another file.")
    message = error.message.replace("The store", "The backup", 1)
    return StoreError(error.code, message, error.hint if newer else "Name an undamaged backup that you may read.")


def refuse_taken(path: Path) -> None:
    """Raise `CallerError` INVALID_ARGUMENTS if `path` exists."""
    if os.path.lexists(path):
        raise CallerError(Code.INVALID_ARGUMENTS, "A file with that name already exists.", "Name another file.")
