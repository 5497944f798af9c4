"""Migrate a store from an older format to the current format: first copy the store, then change it in one transaction.

Always: after an interrupted migration the store still has the old format. The next migration replaces the copy. The
copy is removed after 30 days.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets.atomic_file import write_new
from claude_secrets.errors import Code, StoreError
from claude_secrets.store import schema
from claude_secrets.store.transaction import Transaction

STEPS: Final[dict[int, Callable[[Transaction], None]]] = {}
"""Maps format N to the function that migrates a store from format N to N + 1. It is empty, as there is only one format.

A function gets the open transaction with the head in the old format. It must leave the tables and the head in the next
format.
"""

COPY_SECONDS: Final = 30 * 86_400
"""The number of seconds for which the copy of a migrated store is kept."""


def copy_of(path: Path, number: int) -> Path:
    """Return the path of the copy that is made before the store at `path` is migrated from format `number`."""
    return path.with_name(f"{path.name}.format-{number}")


def migrate(tx: Transaction, path: Path) -> None:
    """Migrate the store to the current format. `tx` must be a write transaction, and the caller must commit it.

    Raises:
        StoreError: STORE_FORMAT if there is no migration from the store's format; STORE_FULL or STORE_UNAVAILABLE if
            the copy cannot be made. The store is not changed.
    """
    number = schema.format_of(tx.connection)
    _copy(tx, path, number)
    for step in range(number, schema.FORMAT):
        if step not in STEPS:
            raise StoreError(Code.STORE_FORMAT, f"The store has format {step}, which this version cannot read.")
        STEPS[step](tx)
    tx.connection.execute(f"PRAGMA user_version = {schema.FORMAT}")
    schema.check_format(tx.connection)
    tx.dirty = True


def expire(path: Path) -> None:
    """Remove copies that migrations of the store at `path` made more than `COPY_SECONDS` ago."""
    for number in range(1, schema.FORMAT):
        with suppress(OSError):  # usually there is no copy
            if time.time() - copy_of(path, number).stat().st_mtime > COPY_SECONDS:
                copy_of(path, number).unlink()


def _copy(tx: Transaction, path: Path, number: int) -> None:
    with schema.translated():
        copy_of(path, number).unlink(missing_ok=True)  # left by an interrupted migration
        write_new(copy_of(path, number), tx.connection.serialize())
