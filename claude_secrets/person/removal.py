"""Remove a store with everything that belongs to it: its keyring entries, its old copies, its draft and its files.

Always: the keyring entries are deleted first, and the store's file is removed after the old copies. If the process is
killed, the remaining files therefore still name every remaining entry, and a second run finishes the work. A key file
is never removed, because nothing records whether another store uses it. No process creates a store at the path during
the removal.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from claude_secrets.atomic_file import Draft, draft, sync_directory
from claude_secrets.errors import Code, CustodyError, StoreError
from claude_secrets.keys import key_file
from claude_secrets.keys.custody import Custody
from claude_secrets.person import old_copies
from claude_secrets.person.holdings import Holdings, describe, logs_of, number_of
from claude_secrets.person.person import Person
from claude_secrets.store import creation, schema
from claude_secrets.store.store import Store


class Removed(NamedTuple):
    """The result of a removal: the removed files, and the names of the deleted and of the remaining keyring entries."""

    files: tuple[Path, ...]
    entries: tuple[str, ...]
    entries_left: tuple[str, ...]


def remove_store(person: Person, shown: Holdings | None = None) -> Removed:
    """Remove everything that `describe` finds, except key files and unproven copies. Finish an interrupted removal.

    `shown` is what the person was shown. If `shown` is None, the store may have changed. If the keyring cannot be
    reached, its entries are left, and `Removed` has their names.

    Raises:
        CustodyError: a keyring entry cannot be deleted; every file is still there.
        StoreError: as `describe`. STORE_BUSY if the store is no longer as shown, or, on Windows, if a client has it
            open; nothing was removed. STORE_UNAVAILABLE if a file cannot be removed.
    """
    if (shown or describe(person)).is_empty:
        return Removed(files=(), entries=(), entries_left=())
    with _no_creation(person.store.path) as begun:
        found = describe(person, opens=shown is None or shown.counts is not None)
        if shown is not None and _compared(found) != _compared(shown):
            message = "The store has changed since it was shown; nothing was removed."
            raise StoreError(Code.STORE_BUSY, message, "Try again.")
        person.store.close()
        _refuse_fixed(person.store, found)
        begun.stays = not begun.is_empty
        deleted, left = _delete_entries(person.store.custody, found)
        begun.stays = False
        files = _remove_files(found)
    sync_directory(found.real.parent)
    return Removed(files=files, entries=deleted, entries_left=left)


def _compared(found: Holdings) -> object:
    """Return the parts of a description that must not change between the question and the removal."""
    names = sorted(entry.name for entry in found.entries)
    return found.real, found.number, found.identity, found.counts, names, found.copies


@contextmanager
def _no_creation(path: Path) -> Iterator[Draft]:
    """Hold the lock of the store's draft, without which no process creates the store. At the end, remove the draft."""
    with schema.translated(), draft(creation.draft_of(path), patience=0) as begun:
        if begun is None:
            raise StoreError(Code.STORE_BUSY, "Another process is making the store.", "Try again in a moment.")
        begun.stays = not begun.is_empty
        yield begun


def _refuse_fixed(store: Store, found: Holdings) -> None:
    """Raise `StoreError` if a file cannot be removed. Call this before anything is removed."""
    directories = {found.real.parent, found.path.parent, *(copy.path.parent for copy in found.copies)}
    if not all(os.access(each, os.W_OK | os.X_OK) for each in directories if each.is_dir()):
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            "The store's directory is read-only; nothing was removed.",
            "Give yourself write permission for the store's directory.",
        )
    if sys.platform == "win32" and found.number is not None:  # Windows removes no file that a program has open
        from claude_secrets.person.backups import fold_log_or_refuse

        fold_log_or_refuse(store)


def _delete_entries(custody: Custody, found: Holdings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Delete the keyring entries. Return the names of the deleted entries and of those that are out of reach."""
    deleted, left = list[str](), list[str]()
    for entry in found.entries:
        try:
            custody.take_away(entry.identity, entry.slot)
            deleted.append(entry.name)
        except CustodyError as error:
            if entry.failure is None or error.code is not Code.KEYRING_UNAVAILABLE:
                raise
            left.append(entry.name)
    return tuple(deleted), tuple(left)


def _remove_files(found: Holdings) -> tuple[Path, ...]:
    """Remove the files: the copies, the store's file, its logs, and the link that led to the store."""
    if found.identity is not None:
        for path in found.key_files:
            key_file.remove_draft(path, found.identity.store_id)
    for copy in found.copies:
        try:
            old_copies.remove_copy(copy)
        except StoreError:
            raise _unremoved(copy.path) from None
    removed = [copy.path for copy in found.copies]
    if found.number is not None:
        if number_of(found.real) != found.number:
            raise _unremoved(found.real)
        _remove(found.real)
        removed.append(found.real)
    for path in logs_of(found.real):
        if old_copies.is_own_file(path):
            _remove(path)
            removed += [] if found.number is not None else [path]
    if found.path.is_symlink():
        _remove(found.path)
        removed.append(found.path)
    return tuple(removed)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)  # a program that ends removes its own log
    except OSError:
        raise _unremoved(path) from None


def _unremoved(path: Path) -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        f"The removal is not complete: {path} cannot be removed, or has changed.",
        "Check the permissions of the file and its directory, then run the same command again.",
    )
