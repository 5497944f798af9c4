"""Writes a project's `.claude/secrets.yml`.

Always: the file is written completely or not at all. A change that somebody else has just made is not overwritten.
"""

import os
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
    if is_link(path.parent):  # a link may lead out of the project
        raise _unwritable(project)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755)
    except OSError:
        raise _unwritable(project) from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        with open(descriptor, "wb") as file:  # noqa: PTH123  the file is open already
            file.write(data)
    except FileExistsError:
        return False
    except OSError:
        raise _unwritable(project) from None
    return True


def replace(project: Path, before: bytes, after: bytes) -> None:
    """Replace the content `before` of a project's `.claude/secrets.yml` with `after`.

    The file keeps its permissions. It also keeps its owner if the system allows that.

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
        replace_file(path, after, status_if_unchanged(), owner_must_stay=False, check=status_if_unchanged)
    except OSError:
        raise _unwritable(project) from None


def _unwritable(project: Path) -> DeniedError:
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        "The project's .claude/secrets.yml cannot be written; nothing was changed.",
        f"Check the permissions of {project / '.claude'}.",
    )
