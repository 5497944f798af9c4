"""Migrating a store of an older format to the one that this version writes: first a copy, then one transaction.

Always: an interrupted migration leaves the old format. The copy is replaced at the next try, and removed after 30 days.
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
"""What makes a store of the next format of one of format N, by N. There is but one format yet.

A step is given the open transaction, with the head as the old format has it, and leaves the tables and the head of the
next one.
"""

COPY_SECONDS: Final = 30 * 86_400
"""How long the copy is kept that was made before a migration."""


def copy_of(path: Path, number: int) -> Path:
    """Where the copy of the store at `path` is that was made when it left format `number`."""
    return path.with_name(f"{path.name}.format-{number}")


def migrate(tx: Transaction, path: Path) -> None:
    """Make the store of this version's format; `tx` writes, and is committed by the caller.

    Raises:
        StoreError: STORE_FORMAT where no way leads from its format, STORE_FULL or STORE_UNAVAILABLE where the copy
            cannot be made; nothing is changed.
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
    """Remove the copies of the store at `path` that are older than they have to be kept."""
    for number in range(1, schema.FORMAT):
        with suppress(OSError):  # there is none, which is the rule
            if time.time() - copy_of(path, number).stat().st_mtime > COPY_SECONDS:
                copy_of(path, number).unlink()


def _copy(tx: Transaction, path: Path, number: int) -> None:
    with schema.translated():
        copy_of(path, number).unlink(missing_ok=True)  # of a try that did not get to its end: the store is as it was
        write_new(copy_of(path, number), tx.connection.serialize())
