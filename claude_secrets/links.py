"""Tell links from files and directories, on every system.

Always: junctions count as links, as do all other entries of Windows that stand for another path. Files and directories
that Windows marks for other reasons do not count, such as those of OneDrive and of deduplicated volumes.
"""

import os
import stat
from pathlib import Path
from typing import Final

_STANDS_FOR_ANOTHER: Final = 0x20000000
"""The bit of a reparse tag that `IsReparseTagNameSurrogate` tests: the entry stands for another path. See
https://learn.microsoft.com/windows/win32/fileio/reparse-point-tags"""

_HAS_TAGS: Final = hasattr(os.stat_result, "st_reparse_tag")


def is_link(path: Path | str) -> bool:
    """Return whether a path is a link. A path that does not exist is no link."""
    try:
        return is_link_status(os.lstat(path))
    except (OSError, ValueError):  # ValueError: a path cannot contain NUL
        return False


def is_link_entry(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory's entry is a link. Raises `OSError` if Windows does not tell."""
    return entry.is_symlink() or (_HAS_TAGS and is_link_status(entry.stat(follow_symlinks=False)))


def is_link_status(status: os.stat_result) -> bool:
    """Return whether the status, which must come from `lstat`, is that of a link."""
    tag: int = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or bool(tag & _STANDS_FOR_ANOTHER)
