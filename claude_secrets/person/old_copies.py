"""List and remove old copies of a store, which an upgrade or `backup restore --aside` left in the store's directory.

Always: a file is removed only if its name, owner and content prove that it is an old copy of a store. A file that is a
link is never removed. The key files of a copy can be listed, but are never removed.
"""

import os
import re
import sqlite3
import stat
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from claude_secrets.errors import SecretsError, StoreError
from claude_secrets.keys.custody import Custody
from claude_secrets.store import schema
from claude_secrets.store.store import Store

_NAME = re.compile(r"\.((aside|restored)-\d{8}-\d{6}|format-\d+)", re.ASCII)


class OldCopy(NamedTuple):
    """A file in the store's directory that has the name of an old copy.

    `changed` is the time of the last write, in seconds since 1970. `store_id` is None if the file is not a readable
    store.
    """

    path: Path
    changed: float
    store_id: str | None


def list_copies(store: Path) -> list[OldCopy]:
    """Return all old copies of the store at `store`, sorted by path."""
    copies = {}
    for real in {store.absolute(), store.resolve()}:  # an upgrade and `--aside` follow links differently
        with suppress(OSError):  # if the directory cannot be listed, no copy is found
            for path in real.parent.iterdir():
                if path.name.startswith(real.name) and _NAME.fullmatch(path.name[len(real.name) :]):
                    copies[path.resolve()] = path
    return [copy for path in sorted(copies.values()) if (copy := _copy(path)) is not None]


def remove_copy(copy: OldCopy) -> None:
    """Remove a copy and its SQLite log files. The copy's keys are not removed, because another store may use them.

    Raises:
        StoreError: STORE_UNAVAILABLE if the file has changed since it was listed, or cannot be removed.
    """
    if copy.store_id is None or _copy(copy.path) != copy:
        raise StoreError(*schema.UNREADABLE)
    with schema.translated():
        for suffix in ("-wal", "-shm", "-journal", ""):
            path = copy.path.with_name(f"{copy.path.name}{suffix}")
            if suffix == "" or is_own_file(path):
                path.unlink()


def key_files(copy: OldCopy, store: Store) -> list[Path]:
    """Return the key files that the copy uses and the store does not use."""
    with suppress(SecretsError), closing(Store(copy.path, Custody(environment={}), lambda: 0.0)) as opened:
        used = {path.resolve() for path in store.key_files()}
        return [path for path in opened.key_files() if path.exists() and path.resolve() not in used]
    return []


def _copy(path: Path) -> OldCopy | None:
    if not is_own_file(path):
        return None
    with suppress(OSError):
        return OldCopy(path, path.lstat().st_mtime, store_id_in(path))
    return None


def is_own_file(path: Path) -> bool:
    """Return whether there is a regular file at `path` that belongs to the person. A link is not a regular file."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (sys.platform == "win32" or status.st_uid == os.geteuid())


def store_id_in(path: Path) -> str | None:
    """Return the id of the store in a file, or None if the file is not a store. The file is not changed."""
    address = f"file:{quote(str(path))}?immutable=1"
    with suppress(StoreError), schema.translated(), closing(sqlite3.connect(address, uri=True)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID:
            row = connection.execute("SELECT store_id FROM store WHERE id = 1").fetchone()
            return row[0] if row and isinstance(row[0], str) else None
    return None
