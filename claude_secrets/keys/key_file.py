"""Key files: a key file belongs to the person and contains a master key.

While a store's key is being replaced, the file contains two keys: the old key, and the new key followed by the store's
id.

Always: a key file that is a link is refused. A key file that others can read is refused. A key is written only into a
file that others cannot read. No key file is made in the store's directory. An existing key file is replaced only by a
file that contains a key that opens the store. The checks of type, owner, mode and access list use the open file
descriptor. No error contains the file's content. The hint of an error may contain the file's path, which is only for
the person.
"""

import os
import shlex
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets import access_list
from claude_secrets.access_list import Access
from claude_secrets.atomic_file import write_new
from claude_secrets.errors import Code, CustodyError
from claude_secrets.paths import command
from claude_secrets.shell_words import quoted
from claude_secrets.small_file import LinkRefusedError, SmallFile, read_file, replace_file

PUT_BACK: Final = "Restore the key that belongs to this store."
_FOREIGN: Final = "The key file belongs to another user."

_STORED: Final = "access lists (NTFS)" if sys.platform == "win32" else "file modes and owners"

_LIMIT: Final = 1024
"""At most this many bytes of a key file are read."""


class HeldKey(NamedTuple):
    """A master key in a key file. `coming_for` is empty, or the id of the store that is changing to this key."""

    master_key: bytes
    coming_for: str = ""

    def __repr__(self) -> str:
        return "HeldKey()"


def put_back(path: Path | None) -> str:
    """Return the hint for a lost key. `path` is the path of its key file, or None if the key was not in a file."""
    return PUT_BACK if path is None else f"Put the key file that belongs to this store back at {path}."


def refuse_beside(path: Path, store: Path) -> None:
    """Raise `CustodyError` KEY_MISSING if the key file `path` is in the store's directory."""
    if _same_directory(path.parent, store.absolute().parent):
        raise CustodyError(
            Code.KEY_MISSING,
            "The key file would be in the store's directory. A copy of that directory would contain store and key.",
            "Choose another directory for the key file.",
        )


def refuse_existing(path: Path) -> None:
    """Raise `CustodyError` KEY_MISSING if there is anything at the path of a new key file."""
    if os.path.lexists(path):
        raise _there_already()


def write(path: Path, master_key: bytes) -> None:
    """Create a key file that contains `master_key`. If this fails, no partial file remains.

    Raises:
        CustodyError: KEY_MISSING if a file exists at `path` or a private file cannot be created there.
    """
    try:
        made = write_new(path, master_key + b"\n", check_private=partial(_check_private, path))
    except (OSError, CustodyError):
        raise _unmade() from None
    if not made:
        raise _there_already()
    kept = False
    try:
        # Check by reading: some file systems do not store modes or owners.
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
    """Return the keys in a key file, at least one. Malformed content is returned as a key that opens nothing.

    Raises:
        CustodyError: KEY_MISSING; KEY_WRONG for a link, another user's file or a file that others can read.
    """
    return _parsed(_read_private(path).data)


def replace(path: Path, keys: Sequence[HeldKey], store_id: str) -> None:
    """Replace the content of the key file at `path` by `keys`, atomically. Owner and mode do not change.

    On Windows, the file gets the access list that every new key file gets.

    The caller must hold the write lock of the store `store_id`. If a killed process left a draft file for this store,
    the draft is removed first.

    Raises:
        CustodyError: KEY_MISSING if the file cannot be replaced; the old file is then unchanged.
    """
    remove_draft(path, store_id)
    status = _read_private(path).status
    data = b"".join(_line(key) for key in keys)
    try:
        # The person owns the file. If its group cannot be kept, no harm is done: the group cannot read it.
        replace_file(
            path,
            data,
            status,
            owner_must_stay=False,
            draft=_draft_of(path, store_id),
            check_private=partial(_check_private, path),
        )
    except (OSError, CustodyError):
        raise _unreplaced() from None


def refuse_fixed(path: Path) -> None:
    """Raise `CustodyError` KEY_MISSING if the key file is a mount point or in a read-only directory."""
    if not os.access(path.parent, os.W_OK | os.X_OK) or os.path.ismount(path):
        raise _unreplaced()


def has_draft(path: Path, store_id: str) -> bool:
    """Return whether a process left a draft file because it was killed while replacing the key file."""
    return os.path.lexists(_draft_of(path, store_id))


def remove_draft(path: Path, store_id: str) -> None:
    """Remove a draft file that a killed process left. The caller must hold the store's write lock."""
    with suppress(OSError):  # there is no draft
        _draft_of(path, store_id).unlink()


def refuse_access(path: Path, access: Access, person: str) -> None:
    """Check who can read or change a key file on Windows. `person` is the security identifier of the person's account.

    Raises:
        CustodyError: KEY_WRONG if the file's owner is neither the person nor an administrator, if its list lets other
            accounts read or change it, or if it has no list.
    """
    name = quoted(str(path), platform="win32")
    only_mine = f"First run: icacls {name} /reset Then run: icacls {name} /inheritance:r /grant:r *{person}:F"
    if access.entries is None:
        hint = (
            "If the key file is on a drive with FAT or exFAT, move it to a drive with NTFS, and set "
            f"CLAUDE_SECRETS_KEY_FILE to its new path. Otherwise, make it readable only by you. {only_mine}"
        )
        raise CustodyError(Code.KEY_WRONG, "The key file has no access list, so everyone can read it.", hint)
    if not access_list.belongs_to(access, person):
        raise CustodyError(Code.KEY_WRONG, _FOREIGN, f"Make yourself its owner: takeown /f {name}")
    if access_list.others(access, person):
        hint = f"Make it readable only by you. {only_mine}"
        raise CustodyError(Code.KEY_WRONG, "Others can read or change the key file.", hint)


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
    """Read a key file. Refuse a file that another user owns or that others can read."""
    try:
        return read_file(path, limit=_LIMIT - 1, check=partial(_check_private, path))
    except LinkRefusedError:
        raise CustodyError(
            Code.KEY_WRONG, "The key file is a link.", f"Replace the link {path} by the file itself."
        ) from None
    except OSError:
        raise CustodyError(
            Code.KEY_MISSING, "The key file of this store is missing or cannot be read.", put_back(path)
        ) from None


def _same_directory(one: Path, other: Path) -> bool:
    with suppress(OSError, RuntimeError):  # a missing directory or a loop of links counts as different
        return one.resolve() == other.resolve() or one.samefile(other)
    return False


def _there_already() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING, "There is already a file at the path of the new key file.", "Choose another path."
    )


def _unmade() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be created at this path.",
        f"Choose a path in an existing directory that you own, on a file system that stores {_STORED}.",
    )


def _unreplaced() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be replaced: its directory is read-only, the file is a mount point, or others could read "
        "the new file.",
        f"Make a new key file: {command()} key add-file NEW_PATH. Then remove the slot of this key file: "
        f"{command()} key remove SLOT",
    )


def _check_private(path: Path, descriptor: int) -> None:
    """Raise `CustodyError` KEY_WRONG if the open file is no regular file of the person, or if others can read it."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise CustodyError(Code.KEY_WRONG, "The key file is not a regular file.", put_back(path))
    if sys.platform == "win32":
        _check_access(path, descriptor)
    else:
        if status.st_uid != os.geteuid():
            hint = f"Make yourself its owner: sudo chown {os.geteuid()} {shlex.quote(str(path))}"
            raise CustodyError(Code.KEY_WRONG, _FOREIGN, hint)
        if stat.S_IMODE(status.st_mode) & 0o077:
            hint = f"Make it readable only by you: chmod 600 {shlex.quote(str(path))}"
            raise CustodyError(Code.KEY_WRONG, "Others can read the key file.", hint)


if sys.platform == "win32":
    from claude_secrets import windows_access

    def _check_access(path: Path, descriptor: int) -> None:
        try:
            person, access = windows_access.person(), windows_access.access_of(descriptor)
        except OSError:
            hint = "Move the key file to a drive with NTFS, and set CLAUDE_SECRETS_KEY_FILE to its new path."
            raise CustodyError(Code.KEY_WRONG, "Windows does not say who can read the key file.", hint) from None
        refuse_access(path, access, person)
