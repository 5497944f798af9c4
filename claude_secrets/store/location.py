"""Refuse a store that two programs could change without seeing each other's changes.

SQLite keeps the latest changes in a log next to the store's file, and finds the log by the file's name. If a file has
two names, each name has its own log. Source: https://www.sqlite.org/howtocorrupt.html (section "Multiple links to the
same file").

Always: a refused store is not opened, and nothing is changed.
"""

import os
import stat
from pathlib import Path

from claude_secrets.errors import Code, StoreError
from claude_secrets.store.creation import draft_of
from claude_secrets.windows_package import private_to


def refuse_private(path: Path, what: str = "store") -> None:
    """Raise `StoreError` STORE_UNAVAILABLE if only the programs of one Windows package would see the file at `path`.

    `what` is "store" or "key file".
    """
    package = private_to(path)
    if package is not None:
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            f"The {what} is in AppData, and Windows gives the client ({package}) its own copy of the files in AppData.",
            f"Move the {what} out of AppData, for example to .claude-secrets in your user profile.",
        )


def refuse_second_name(path: Path, status: os.stat_result) -> None:
    """Raise `StoreError` STORE_UNAVAILABLE if the store's file has a second name (a hard link).

    `status` is the file's status. A process that creates a store gives the file two names for a moment: the store's
    name and the draft's name.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
        return
    if _is_draft(path, status) or path.stat().st_nlink < 2:
        return
    raise StoreError(
        Code.STORE_UNAVAILABLE,
        "The store's file has a second name (a hard link), so changes made under one name can get lost.",
        "Find the second name, for example with `find DIR -samefile STORE`, and remove that name. Or stop all clients, "
        "and replace the store with a copy of itself.",
    )


def _is_draft(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(draft_of(path).stat(), status)
    except OSError:  # there is no draft
        return False
