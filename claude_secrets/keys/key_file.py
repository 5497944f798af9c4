"""The key file: a master key in a file of the person, 0600, never in the directory of the store, never a link.

While a store replaces its key, the file holds two: the old key, and the new key followed by the store's id.

Always: an existing file is only replaced by one that holds a key that opens its store. All checks are made on the open
descriptor. No error repeats the content.
"""

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.atomic_file import write_new
from claude_secrets.errors import Code, CustodyError
from claude_secrets.paths import command
from claude_secrets.small_file import LinkRefusedError, SmallFile, read_file, replace_file

PUT_BACK: Final = "Restore the key that belongs to this store; without it the store cannot be opened."

_LIMIT: Final = 1024
"""The most bytes of a key file that are read."""


class HeldKey(NamedTuple):
    """A master key in a key file. `coming_for` is the id of the store that is changing to it, or empty."""

    master_key: bytes
    coming_for: str = ""

    def __repr__(self) -> str:
        return "HeldKey()"


def refuse_beside(path: Path, store: Path) -> None:
    """Raise `CustodyError` KEY_MISSING for a key file in the directory of the store."""
    if _same_directory(path.parent, store.absolute().parent):
        raise CustodyError(
            Code.KEY_MISSING,
            "The key file would be in the store's directory, so a copy of the directory would hold both.",
            "Choose another directory for the key file.",
        )


def refuse_existing(path: Path) -> None:
    """Raise `CustodyError` KEY_MISSING if there is anything at the path of a new key file."""
    if os.path.lexists(path):
        raise _there_already()


def write(path: Path, master_key: bytes) -> None:
    """Make a new file that holds `master_key`, whole or not at all.

    Raises:
        CustodyError: KEY_MISSING if no file can or may be made there; nothing is left behind.
    """
    try:
        made = write_new(path, master_key + b"\n")
    except OSError:
        raise _unmade() from None
    if not made:
        raise _there_already()
    kept = False
    try:
        # Check by reading: some file systems do not keep modes or owners.
        kept = read_keys(path) == [HeldKey(master_key)]
    except CustodyError:
        raise _unmade() from None
    finally:
        if not kept:
            with suppress(OSError):
                path.unlink()
    if not kept:
        raise _unmade()


def read_keys(path: Path) -> list[HeldKey]:
    """The keys in a key file, at least one. Content that is not a key counts as one that opens nothing.

    Raises:
        CustodyError: KEY_MISSING; KEY_WRONG for a link, another user's file or a file that others can read.
    """
    return _parsed(_read_private(path).data)


def replace(path: Path, keys: Sequence[HeldKey], store_id: str) -> None:
    """Replace the key file at `path` by one with these keys: whole or not at all, same owner and mode.

    The caller holds the write lock of the store `store_id`. A draft that this store left behind is replaced.

    Raises:
        CustodyError: KEY_MISSING if the file cannot be replaced; it stays as it was.
    """
    remove_draft(path, store_id)
    status = _read_private(path).status
    data = b"".join(_line(key) for key in keys)
    try:
        # The person owns the file. If its group cannot be kept, no harm is done: the group cannot read it.
        replace_file(path, data, status, owner_must_stay=False, draft=_draft_of(path, store_id))
    except OSError:
        raise _unreplaced() from None


def refuse_fixed(path: Path) -> None:
    """Raise `CustodyError` KEY_MISSING for a key file that cannot be replaced here."""
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_mount():
        raise _unreplaced()


def has_draft(path: Path, store_id: str) -> bool:
    """Whether a process was killed while it replaced the key file and left its draft."""
    return os.path.lexists(_draft_of(path, store_id))


def remove_draft(path: Path, store_id: str) -> None:
    """Remove the draft of a killed process. The caller holds the store's write lock."""
    with suppress(OSError):  # there is no draft
        _draft_of(path, store_id).unlink()


def _draft_of(path: Path, store_id: str) -> Path:
    return path.with_name(f".{path.name}.{store_id}.claude-secrets-draft")


def _parsed(content: bytes) -> list[HeldKey]:
    words = [line.split() for line in content.splitlines() if line.strip()]
    if not words or any(len(line) > 2 for line in words):
        return [HeldKey(content.strip())]
    return [HeldKey(line[0], line[1].decode("ascii", "replace") if line[1:] else "") for line in words]


def _line(key: HeldKey) -> bytes:
    return b" ".join([key.master_key, key.coming_for.encode("ascii", "replace")]).strip() + b"\n"


def _read_private(path: Path) -> SmallFile:
    """Read a key file. Refuse one that another user owns or others can read."""
    try:
        return read_file(path, limit=_LIMIT - 1, check=_check_private)
    except LinkRefusedError:
        raise CustodyError(Code.KEY_WRONG, "The key file is a link.", "Put the file itself there.") from None
    except OSError:
        raise CustodyError(
            Code.KEY_MISSING,
            "The key file of this store is missing or cannot be read.",
            f"Put the key file back (`{command()} doctor` shows its path). Without it, the store cannot be opened.",
        ) from None


def _same_directory(one: Path, other: Path) -> bool:
    with suppress(OSError, RuntimeError):  # a missing directory or a loop of links is not the same
        return one.resolve() == other.resolve() or one.samefile(other)
    return False


def _there_already() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING, "There is already a file at the path of the new key file.", "Choose another path."
    )


def _unmade() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be made there.",
        "Choose a path in an existing directory of yours, on a file system that keeps modes and owners.",
    )


def _unreplaced() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be replaced here: its directory is read-only, or the file is mounted there.",
        "Remove its key slot (key remove), then add another one (key add-file).",
    )


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CustodyError(Code.KEY_WRONG, "The key file is not a regular file.", PUT_BACK)
    if sys.platform == "win32":  # Windows has access lists instead of modes
        return
    if status.st_uid != os.geteuid():
        raise CustodyError(Code.KEY_WRONG, "The key file belongs to another user.", "Make it yours (chown).")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CustodyError(Code.KEY_WRONG, "Others can read the key file.", "Make it readable only by you (chmod 600).")
