"""The key file: a master key in a file of the person's own, 0600, never beside the store, never a link.

Always: an existing file is never overwritten; what is checked is checked on the open descriptor; no content in an
error. `custody.py` imports it.
"""

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets.draft_file import write_new
from claude_secrets.errors import Code, CustodyError

PUT_BACK: Final = "Put back the key that this store was made with; without it the store cannot be opened."

_LIMIT: Final = 256
# A link is not followed, and a pipe in the file's place does not block; Windows knows neither flag.
_OPEN_SAFELY: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def refuse_beside(path: Path, store: Path) -> None:
    """Raise `CustodyError` KEY_MISSING for a key file in the directory of the store."""
    if _same_directory(path.parent, store.absolute().parent):
        raise CustodyError(
            Code.KEY_MISSING,
            "The key file would stand beside the store, and whoever copies one would have both.",
            "Choose another directory for it.",
        )


def write(path: Path, master_key: bytes) -> None:
    """Make a new file that holds `master_key`, whole or not at all.

    Raises:
        CustodyError: KEY_MISSING where none can or may be made there; nothing is left.
    """
    try:
        made = write_new(path, master_key + b"\n")
    except OSError:
        raise _unmade() from None
    if not made:
        raise CustodyError(
            Code.KEY_MISSING, "There is a file already where the key file should be made.", "Choose another path."
        )
    kept = False
    try:
        # Read back as it will be read: some file systems do not keep modes or owners.
        kept = read(path) == master_key
    except CustodyError:
        raise _unmade() from None
    finally:
        if not kept:
            with suppress(OSError):
                path.unlink()
    if not kept:
        raise _unmade()


def read(path: Path) -> bytes:
    """The content of a key file; everything is checked on the open descriptor, so that nothing can change between.

    Raises:
        CustodyError: KEY_MISSING; KEY_WRONG for a link, another user's file or one that others can read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN_SAFELY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # what systems say of a link that is not followed
            raise CustodyError(Code.KEY_WRONG, "The key file is a link.", "Put the file itself there.") from None
        raise CustodyError(
            Code.KEY_MISSING, "The key file of this store is not there or cannot be read.", PUT_BACK
        ) from None
    try:
        _check_private(os.fstat(descriptor))
        return os.read(descriptor, _LIMIT).strip()
    except OSError:
        raise CustodyError(Code.KEY_MISSING, "The key file of this store cannot be read.", PUT_BACK) from None
    finally:
        os.close(descriptor)


def _same_directory(one: Path, other: Path) -> bool:
    with suppress(OSError, RuntimeError):  # one that is not there, or links in a circle: not the same
        return one.resolve() == other.resolve() or one.samefile(other)
    return False


def _unmade() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be made there.",
        "Choose a path in an existing directory of yours, on a file system that keeps modes and owners.",
    )


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CustodyError(Code.KEY_WRONG, "What is in the key file's place is not a regular file.", PUT_BACK)
    if sys.platform == "win32":  # who may read it stands in its access list there, not in a mode
        return
    if status.st_uid != os.geteuid():
        raise CustodyError(Code.KEY_WRONG, "The key file belongs to another user.", "Make it yours (chown).")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CustodyError(Code.KEY_WRONG, "Others can read the key file.", "Make it yours alone (chmod 600).")
