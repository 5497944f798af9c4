"""Recognize git work trees by git's own files.

Always: git is never run.
"""

import os
import stat
from pathlib import Path
from typing import Final

from claude_secrets.small_file import read_file
from claude_secrets.true_names import true_path

_SMALL: Final = 4096


def is_work_tree(directory: Path) -> bool:
    """Whether a directory is the top directory of a git work tree or repository."""
    return os.path.lexists(os.path.join(directory, ".git"))  # noqa: PTH118  runs at every call, and joining text is faster


def main_work_tree(work_tree: Path) -> Path | None:
    """Return the main work tree of a linked work tree. Return None if the two do not refer to each other.

    Git's files are documented at https://git-scm.com/docs/gitrepository-layout (worktrees/<id>/gitdir, commondir). Bare
    repositories are not recognized, because any directory with two entries of the right names looks like one.
    """
    try:
        return _main_work_tree(work_tree)
    except (OSError, ValueError):  # Windows refuses to decode, or to look up, some of the names that a file may contain
        return None


def _main_work_tree(work_tree: Path) -> Path | None:
    pointer = _line(work_tree / ".git")
    if pointer is None or not pointer.startswith("gitdir: "):
        return None
    entry = Path(true_path(work_tree / pointer.removeprefix("gitdir: ")))
    back = _line(entry / "gitdir")
    if back is None or Path(true_path(entry / back)) != work_tree / ".git":
        return None
    common = entry.parent.parent
    if entry.parent.name != "worktrees" or common.name != ".git" or _line(common / "HEAD") is None:
        return None
    shared = _line(entry / "commondir")
    if shared is None or Path(true_path(entry / shared)) != common:
        return None
    if common.is_relative_to(work_tree):  # git never creates this, but anyone who can write in the project could
        return None
    return common.parent


def _line(path: Path) -> str | None:
    """Return the text of a small plain file with only one line. Return None for any other file."""
    try:
        # Check the type before opening the file, because `.git` is nearly always a directory.
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        data = read_file(path, limit=_SMALL).data
    except OSError:
        return None
    line = os.fsdecode(data).removesuffix("\n")
    return None if len(data) > _SMALL or "\0" in line or "\n" in line else line
