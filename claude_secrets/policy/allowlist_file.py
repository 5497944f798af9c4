"""Writes a project's `.claude/secrets.yml`, and removes one that was just made.

Always: the file is written completely or not at all. A change that somebody else has just made is not overwritten.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from claude_secrets.errors import Code, DeniedError
from claude_secrets.links import is_link
from claude_secrets.policy.allowlist import read_allowlist_file
from claude_secrets.small_file import replace_file


def create(project: Path, data: bytes) -> bool:
    """Create a project's `.claude/secrets.yml`. Return False if the file already exists.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the file cannot be written.
    """
    path = project / ".claude" / "secrets.yml"
    if is_link(path.parent):
        what = "is a link, which may lead out of the project"
        raise _not_a_directory(path.parent, what, "Replace the link with a directory")
    if os.path.lexists(path.parent) and not path.parent.is_dir():
        raise _not_a_directory(path.parent, "is a file, not a directory", "Rename or remove the file")
    made = False
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755)
            made = True
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        with open(descriptor, "wb") as file:  # noqa: PTH123  the file is open already
            file.write(data)
    except FileExistsError:
        return False
    except OSError as error:
        if made:
            discard(project, data, keep_directory=False)
        raise _unwritable(project, error.errno) from None
    return True


def discard(project: Path, data: bytes, *, keep_directory: bool) -> None:
    """Remove a file that `create` has just made, and its directory if it is empty and `keep_directory` is false.

    A file with other content than `data` stays. An error is ignored, because the caller reports another one.
    """
    path = project / ".claude" / "secrets.yml"
    with suppress(OSError):
        if data.startswith(path.read_bytes()):  # a full disk leaves a part
            path.unlink()
    if not keep_directory:
        with suppress(OSError):
            path.parent.rmdir()


def replace(project: Path, before: bytes, after: bytes, *, owner_must_stay: bool = False) -> None:
    """Replace the content `before` of a project's `.claude/secrets.yml` with `after`.

    The file keeps its permissions. It also keeps its owner and group if the system allows that. If it does not, and
    `owner_must_stay` is set, the file is not replaced.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the file cannot be written, or if its content is not `before`.
    """
    path = project / ".claude" / "secrets.yml"

    def status_if_unchanged() -> os.stat_result:
        file = read_allowlist_file(project)
        if file.data != before:
            raise DeniedError(Code.ALLOWLIST_INVALID, "The allowlist changed since it was read.", "Try again.")
        return file.status

    try:
        replace_file(path, after, status_if_unchanged(), owner_must_stay=owner_must_stay, check=status_if_unchanged)
    except OSError:
        raise _unwritable(project) from None


def require_persons(project: Path) -> None:
    """Require that a project's `.claude/secrets.yml` belongs to the person, and is not write-protected.

    `replace` makes a new file, so it would also replace a file that is read-only.

    Raises:
        DeniedError: ALLOWLIST_INVALID or NO_ALLOWLIST.
    """
    status = read_allowlist_file(project).status
    protected = not status.st_mode & stat.S_IWUSR
    if protected or _is_of_another_user(status) or not os.access(project / ".claude", os.W_OK):
        raise _unwritable(project)


if sys.platform == "win32":

    def _is_of_another_user(status: os.stat_result) -> bool:  # noqa: ARG001  Windows uses access lists instead
        return False

else:

    def _is_of_another_user(status: os.stat_result) -> bool:
        """Return whether the file belongs to another user. Root may edit every user's file, and keeps its owner."""
        return os.geteuid() not in (0, status.st_uid)


def _not_a_directory(path: Path, what: str, remedy: str) -> DeniedError:
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"The project's .claude {what}, so the allowlist cannot be made; nothing was changed.",
        f"{remedy}: {path}",
    )


def _unwritable(project: Path, number: int | None = None) -> DeniedError:
    directory = project / ".claude"
    reason = f" ({os.strerror(number)})" if number else ""
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"The project's .claude/secrets.yml cannot be written{reason}; nothing was changed.",
        f"Check the permissions of {directory if directory.is_dir() else project}.",
    )
