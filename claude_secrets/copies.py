"""Copies of a store that an upgrade or `backup restore --aside` left beside it, and taking them away with their keys.

Always: only a file that is provably such a copy is removed: by its name, its owner and what is in it, never through a
link. A key goes only with the last store that is known to use it. The faces call it with the `Person` who asks.
"""

import os
import re
import sqlite3
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from claude_secrets import schema, slots
from claude_secrets.custody import KEY_FILE_VARIABLE, Custody
from claude_secrets.errors import SecretsError, StoreError
from claude_secrets.key_slot import FILE, KEYRING
from claude_secrets.person import Person
from claude_secrets.store import Store

_NAME = re.compile(r"\.((aside|restored)-\d{8}-\d{6}|format-\d+)")


class OldCopy(NamedTuple):
    """A file beside the store with the name of a copy; `store_id` None where it does not open as a store.

    `changed`: when it was last written to, in seconds since 1970.
    """

    path: Path
    changed: float
    store_id: str | None


class Removed(NamedTuple):
    """What went with a copy: the key files and the number of keyring entries; `kept`: why its keys stayed, if so."""

    key_files: tuple[Path, ...] = ()
    entries: int = 0
    kept: SecretsError | None = None


def find(store: Path) -> list[OldCopy]:
    """All copies of the store at `store`, by name."""
    found = {}
    for real in {store.absolute(), store.resolve()}:  # an upgrade and `--aside` follow links differently
        with suppress(OSError):  # no directory, no copies
            for path in real.parent.iterdir():
                if path.name.startswith(real.name) and _NAME.fullmatch(path.name[len(real.name) :]):
                    found[path.resolve()] = path
    return [copy for path in sorted(found.values()) if (copy := _copy(path)) is not None]


def remove(person: Person, copy: OldCopy, others: Sequence[Path], environment: Mapping[str, str]) -> Removed:
    """Remove a copy, and those of its keys that neither the person's store nor one of the `others` uses.

    Raises:
        StoreError: STORE_UNAVAILABLE where it is not what was found, or cannot be removed.
    """
    if copy.store_id is None or _copy(copy.path) != copy:
        raise StoreError(*schema.UNREADABLE)
    removed = Removed()
    try:
        removed = _remove_keys(copy, [person.store.path, *others], environment)
    except SecretsError as error:  # it cannot be told that the keys are its own
        removed = Removed(kept=error)
    with schema.translated():
        for suffix in ("-wal", "-shm", ""):
            path = copy.path.with_name(f"{copy.path.name}{suffix}")
            if suffix == "" or _is_own_file(path):
                path.unlink()
    return removed


def _copy(path: Path) -> OldCopy | None:
    if not _is_own_file(path):
        return None
    with suppress(OSError):
        return OldCopy(path, path.lstat().st_mtime, _store_id(path))
    return None


def _is_own_file(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (sys.platform == "win32" or status.st_uid == os.geteuid())


def _store_id(path: Path) -> str | None:
    """The id of the store in a file, which is not written to; None where there is none in it."""
    address = f"file:{quote(str(path))}?immutable=1"
    with suppress(StoreError), schema.translated(), closing(sqlite3.connect(address, uri=True)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID:
            row = connection.execute("SELECT store_id FROM store WHERE id = 1").fetchone()
            return row[0] if row and isinstance(row[0], str) else None
    return None


def _remove_keys(copy: OldCopy, others: Sequence[Path], environment: Mapping[str, str]) -> Removed:
    """Remove the keys of a copy that is another store; those of a copy of a store that goes on are that one's."""
    known = [path for path in others if path.exists()]
    if copy.store_id in {_store_id(path) for path in known}:
        return Removed()
    own = {name: text for name, text in environment.items() if name != KEY_FILE_VARIABLE}
    custody = Custody(environment=own)
    with closing(Store(copy.path, custody, lambda: 0.0)) as store, store.read(immutable=True) as tx:
        found = slots.every(tx)  # vouched for by its own key: nobody else wrote there whose keys these are
    used = {path.resolve() for each in known for path in _key_files(each, environment)}
    files, entries = [], 0
    for slot in found:
        if slot.kind == KEYRING:
            custody.take_away(str(copy.store_id), slot)
            entries += 1
        elif slot.kind == FILE and (path := slot.key_file) is not None and path.resolve() not in used:
            custody.take_away(str(copy.store_id), slot)
            files += [] if path.exists() else [path]
    return Removed(tuple(files), entries)


def _key_files(store: Path, environment: Mapping[str, str]) -> list[Path]:
    with closing(Store(store, Custody(environment=dict(environment)), lambda: 0.0)) as opened:
        named = [slot.key_file for slot in opened.slots()]
        return [path for path in [*named, *opened.key_files()] if path is not None]
