"""Migrating a store of an older format to the one that this version writes: first a copy, then one transaction.

Always: an interrupted migration leaves the old format. The next try replaces the copy. After 30 days the copy is
removed.
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
"""The function that turns a store of format N into one of the next format, by N. There is only one format yet.

A step gets the open transaction, with the head in the old format. It leaves the tables and the head in the next format.
"""

COPY_SECONDS: Final = 30 * 86_400
"""How long the copy that a migration made is kept."""


def copy_of(path: Path, number: int) -> Path:
    """The path of the copy that was made when the store at `path` left format `number`."""
    return path.with_name(f"{path.name}.format-{number}")


def migrate(tx: Transaction, path: Path) -> None:
    """Migrate the store to this version's format. `tx` writes, and the caller commits it.

    Raises:
        StoreError: STORE_FORMAT if there is no migration from its format; STORE_FULL or STORE_UNAVAILABLE if the copy
            cannot be made. Nothing is changed.
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
    """Remove the copies of the store at `path` that need not be kept longer."""
    for number in range(1, schema.FORMAT):
        with suppress(OSError):  # usually there is none
            if time.time() - copy_of(path, number).stat().st_mtime > COPY_SECONDS:
                copy_of(path, number).unlink()


def _copy(tx: Transaction, path: Path, number: int) -> None:
    with schema.translated():
        copy_of(path, number).unlink(missing_ok=True)  # left by an interrupted try
        write_new(copy_of(path, number), tx.connection.serialize())
