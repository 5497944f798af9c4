"""The store's SQLite file: its tables, its settings, and the translation of SQLite's errors.

Always: opening a store never creates its file. The texts of SQLite's own errors never leave this module.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from claude_secrets.errors import Code, StoreError

FORMAT: Final = 1
"""The number of the format that this version reads and writes. A store has this number as `PRAGMA user_version`."""

APPLICATION_ID: Final = 0x436C5365
"""The number ("ClSe" in ASCII) that marks a file as a Claude Secrets store, as `PRAGMA application_id`."""

BUSY_SECONDS: Final = 10.0
"""Seconds that a transaction waits for another process's transaction."""

_TABLES: Final = {
    "store": "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), store_id TEXT NOT NULL,"
    " generation INTEGER NOT NULL, head BLOB NOT NULL) STRICT",
    "key_slots": "CREATE TABLE key_slots (slot_id TEXT PRIMARY KEY, kind TEXT NOT NULL, params TEXT NOT NULL,"
    " wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "records": "CREATE TABLE records (record BLOB PRIMARY KEY, head BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "versions": "CREATE TABLE versions (record BLOB NOT NULL, version INTEGER NOT NULL, token BLOB NOT NULL,"
    " PRIMARY KEY (record, version)) STRICT",
    "grants": "CREATE TABLE grants (place BLOB PRIMARY KEY, token BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "counters": "CREATE TABLE counters (place BLOB PRIMARY KEY, token BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "audit": "CREATE TABLE audit (sequence INTEGER PRIMARY KEY, refused INTEGER NOT NULL, token BLOB NOT NULL) STRICT",
}
_REFUSALS: Final = "CREATE INDEX audit_refusals ON audit (sequence) WHERE refused = 1"

# The exact content of sqlite_schema, by format. SQLite itself adds an index to `versions`, which has both a rowid and
# another primary key.
_SCHEMAS: Final = {
    1: sorted(
        [("table", name, name, sql) for name, sql in _TABLES.items()]
        + [("index", "audit_refusals", "audit", _REFUSALS), ("index", "sqlite_autoindex_versions_1", "versions", None)],
        key=lambda entry: entry[1],
    )
}

_OTHER_TABLES: Final = (
    "The store's file does not have exactly the tables of a Claude Secrets store.",
    "Restore an undamaged copy of the store.",
)

_NO_STORE: Final = (
    "The store's file is not a Claude Secrets store.",
    "Restore a copy of the store, or choose another store with --store.",
)
_SAVE_WHAT_OPENS: Final = (
    "Restore an undamaged copy. Or run `doctor --deep` to see which records can still be read, and save them with "
    "`backup`."
)

_MEANINGS: Final = {
    "SQLITE_BUSY": (Code.STORE_BUSY, "The store is busy with another process's change.", "Try again in a moment."),
    "SQLITE_LOCKED": (Code.STORE_BUSY, "The store is busy with another process's change.", "Try again in a moment."),
    "SQLITE_FULL": (Code.STORE_FULL, "The disk is full; nothing was changed.", "Free some space and try again."),
    "SQLITE_NOTADB": (Code.STORE_FORMAT, *_NO_STORE),
    "SQLITE_CORRUPT": (Code.STORE_TAMPERED, "The store's file is damaged.", _SAVE_WHAT_OPENS),
    # An insert fails only because of a row with the same key that the store's head does not include.
    "SQLITE_CONSTRAINT": (
        Code.STORE_TAMPERED,
        "The store failed verification: rows were added or rolled back outside Claude Secrets.",
        "Restore an undamaged copy of the store.",
    ),
    # Our statements are valid for our tables, so an SQL error means that the file has other tables.
    "SQLITE_ERROR": (Code.STORE_TAMPERED, *_OTHER_TABLES),
    "SQLITE_READONLY": (
        Code.STORE_UNAVAILABLE,
        "The store cannot be written: its file or directory is read-only; nothing was changed.",
        "Give yourself write permission for the store's file and directory.",
    ),
}

UNREADABLE: Final = (
    Code.STORE_UNAVAILABLE,
    "The store's file cannot be opened or written; nothing was changed.",
    "Check the permissions and the disk of the store's directory (`doctor` shows its path).",
)
"""The error for a file that cannot be opened or written."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreError` for an SQLite or operating system error in the block, without the text of that error."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        primary = "_".join(name.split("_")[:2])
        raise StoreError(*_MEANINGS.get(primary, UNREADABLE)) from None
    except UnicodeDecodeError:  # SQLite's message is not valid UTF-8, because it quotes a damaged schema
        raise StoreError(*_MEANINGS["SQLITE_CORRUPT"]) from None
    except OSError:
        raise StoreError(*UNREADABLE) from None


def contents(*, store_id: str, generation: int, head: bytes, slot: tuple[str, str, str, bytes]) -> bytes:
    """Return the bytes of a new store with one key slot (`slot_id, kind, params, wrapped`)."""
    with translated(), closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        lay_out(connection)
        connection.execute("INSERT INTO store VALUES (1, ?, ?, ?)", (store_id, generation, head))
        connection.execute("INSERT INTO key_slots VALUES (?, ?, ?, ?)", slot)
        return as_file(connection)


def as_file(connection: sqlite3.Connection) -> bytes:
    """Return an in-memory database as the bytes of a store's file."""
    data = bytearray(connection.serialize())
    # A database in memory cannot be in WAL mode, so set the read and write versions of the file format
    # (https://www.sqlite.org/fileformat.html, 1.3.3).
    data[18:20] = b"\x02\x02"
    return bytes(data)


def lay_out(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty database, and mark the database as a store of this format."""
    for statement in (*_TABLES.values(), _REFUSALS):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def connect(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open the existing store at `path`, and check that it is a Claude Secrets store in a known format.

    With `immutable`, nothing is written, so that the person can read a store in a read-only directory.

    Raises:
        StoreError: STORE_FORMAT, STORE_TAMPERED, STORE_BUSY or STORE_UNAVAILABLE.
    """
    with translated():
        _check_file(path)
        if not immutable and not os.access(path, os.W_OK):
            # SQLite would open the file for reading and leave a log next to it that nobody can write.
            raise StoreError(*_MEANINGS["SQLITE_READONLY"])
        if immutable and _size(path.with_name(f"{path.name}-wal")):
            raise StoreError(*UNREADABLE)  # the log holds changes that an immutable read does not see
        mode = "immutable=1" if immutable else "mode=rw"
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            # Invalid text must fail our verification, so it must not already fail in the driver's decoding.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA synchronous = FULL")
            check_format(connection)
            _tighten(path)
        except BaseException:
            connection.close()
            raise
        return connection


def format_of(connection: sqlite3.Connection) -> int:
    """Return the number of the store's format."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def check_format(connection: sqlite3.Connection) -> None:
    """Check that the file is a store in a known (current or older) format, with exactly the tables of that format.

    Raises:
        StoreError: STORE_FORMAT or STORE_TAMPERED.
    """
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = format_of(connection)
    if application_id != APPLICATION_ID:
        raise StoreError(Code.STORE_FORMAT, *_NO_STORE)
    if version not in _SCHEMAS:
        raise StoreError(
            Code.STORE_FORMAT,
            f"The store has format {version}, but this version of Claude Secrets reads format {FORMAT}.",
            "Upgrade Claude Secrets, and restart the clients that run an older version.",
        )
    # An added trigger or view would run inside our transactions. Compare lists, because a name can occur twice.
    if (
        connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        != _SCHEMAS[version]
    ):
        raise StoreError(Code.STORE_TAMPERED, *_OTHER_TABLES)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_file(path: Path) -> None:
    """Raise `StoreError` if the path is not a regular file, or the file is empty or (POSIX) owned by another user."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(Code.STORE_FORMAT, "The store's path is not a file.", _NO_STORE[1])
    if status.st_size == 0:
        raise StoreError(
            Code.STORE_FORMAT,
            "The store's file is empty: another program emptied or created the file.",
            "Restore a copy of the store, or delete the empty file to start a new store.",
        )
    if sys.platform != "win32" and status.st_uid != os.getuid():
        raise StoreError(
            Code.STORE_UNAVAILABLE, "The store's file belongs to another user.", "Make yourself its owner (chown)."
        )


def _tighten(path: Path) -> None:
    """Remove all permissions of the group and of other users (POSIX). Check first that the file is a store."""
    if sys.platform != "win32":
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            with suppress(OSError):  # missing, or on a read-only disk: it can still be read, and `doctor` warns
                if file.stat().st_mode & 0o077:
                    file.chmod(0o600)
