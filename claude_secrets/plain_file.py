"""Read a file that the person named, such as `.env`, and rewrite it only if it has not changed since it was read.

Always: links are followed, because the person named the file. The new file has the permissions and owner of the old
file. A private copy keeps the old content.
"""

import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.atomic_file import write_new
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.links import is_link
from claude_secrets.shell_words import removal
from claude_secrets.small_file import read_file, replace_file

_IN_USE: Final = (
    "Another program may have the file open. Close it there, and try again." if sys.platform == "win32" else None
)
"""Windows lets a program keep all others from reading or replacing a file that it has open."""

_NAME_LIMIT: Final = 255
"""The most bytes in a file's name on common file systems."""


class PlainFile(NamedTuple):
    """A file and its content when it was read.

    `asked` is the path that the person named. `path` is the real path, without links.
    """

    asked: Path
    path: Path
    data: bytes
    status: os.stat_result

    def __repr__(self) -> str:
        return f"PlainFile({str(self.path)!r})"

    @property
    def is_linked(self) -> bool:
        """Whether the path that the person named is a link."""
        return is_link(self.asked)


def read_plain_file(asked: Path, *, limit: int) -> PlainFile:
    """Read a file of at most `limit` bytes.

    Raises:
        CallerError: INVALID_ARGUMENTS if the file does not exist, is not a plain file, cannot be read or is too long.
    """
    try:
        path = Path(os.path.realpath(asked, strict=True))
        data, status = read_file(path, limit=limit)
    except FileNotFoundError:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no such file.", "Check the path.") from None
    except OSError:
        problem = "The path is not a plain file, or the file cannot be read."
        raise CallerError(Code.INVALID_ARGUMENTS, problem, _IN_USE) from None
    if len(data) > limit:
        raise CallerError(Code.INVALID_ARGUMENTS, f"The file is larger than {limit // (1024 * 1024)} MiB.")
    return PlainFile(asked=asked, path=path, data=data, status=status)


def copy_of(file: PlainFile) -> Path:
    """Return the path of the copy that `rewrite` makes before it replaces a file."""
    return file.path.with_name(f"{file.path.name}.before-import")


def refuse_what_cannot_be_replaced(file: PlainFile) -> None:
    """Check that `rewrite` can replace the file. Call this before anything is changed.

    Raises:
        CallerError: INVALID_ARGUMENTS if a copy already exists or its name would be too long, or if the file or its
            directory is not the person's own.
    """
    if os.path.lexists(copy_of(file)):
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"A copy of the file already exists, and it is never overwritten: {copy_of(file)}",
            "The copy contains the values from before an earlier import. "
            f"If you no longer need the copy: {removal(copy_of(file))}",
        )
    if len(os.fsencode(copy_of(file).name)) > _NAME_LIMIT:
        too_long = "The file's name is too long to make a copy of the file next to it."
        raise CallerError(Code.INVALID_ARGUMENTS, too_long, "Import without --rewrite.")
    if not is_replaceable(file):
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "The file cannot be replaced without a change of owner: the file, its group or its directory is not yours.",
            "Import without --rewrite.",
        )


def is_replaceable(file: PlainFile) -> bool:
    """Return whether the file can be replaced without a change of its owner or group."""
    return _can_be_given_back(file.status) and os.access(file.path.parent, os.W_OK | os.X_OK)


def rewrite(file: PlainFile, data: bytes) -> Path:
    """Replace the file's content with `data`. A new copy that is private to the person keeps the old content.

    Returns the path of the copy.

    Raises:
        SecretsError: the file has changed since it was read, or the file or its copy cannot be written. The file is
            then unchanged, and no copy remains.
    """
    copy = copy_of(file)
    try:
        made = write_new(copy, file.data)
    except OSError:
        made = False
    if not made:
        raise SecretsError(Code.INVALID_ARGUMENTS, f"The copy {copy} cannot be made, so {file.path} was not changed.")
    replaced = False
    try:
        replace_unchanged(file, data)
        replaced = True
    finally:
        if not replaced:
            copy.unlink(missing_ok=True)
    return copy


def replace_unchanged(file: PlainFile, data: bytes) -> None:
    """Replace the file's content with `data`, if the file has not changed since it was read.

    Raises:
        SecretsError: the file has changed, or it cannot be written. The file is then unchanged.
    """

    def refuse_changed() -> None:
        if not _is_still(file):
            raise SecretsError(Code.INVALID_ARGUMENTS, f"{file.path} has changed, so it was not rewritten.")

    try:
        replace_file(file.path, data, file.status, owner_must_stay=True, check=refuse_changed)
    except OSError:
        problem = f"{file.path} cannot be written, so it was not changed."
        raise SecretsError(Code.INVALID_ARGUMENTS, problem, _IN_USE) from None


def _is_still(file: PlainFile) -> bool:
    path = Path(os.path.realpath(file.asked, strict=True))
    data, status = read_file(path, limit=len(file.data))
    same_owner = (status.st_uid, status.st_gid, status.st_mode) == (
        file.status.st_uid,
        file.status.st_gid,
        file.status.st_mode,
    )
    return path == file.path and os.path.samestat(status, file.status) and same_owner and data == file.data


def _can_be_given_back(status: os.stat_result) -> bool:
    possible = True  # on Windows a new file inherits the access list of its directory
    if sys.platform != "win32":
        groups = {os.getegid(), *os.getgroups()}
        possible = os.geteuid() in (0, status.st_uid) and (os.geteuid() == 0 or status.st_gid in groups)
    return possible
