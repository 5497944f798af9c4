"""Find the true name of a directory: the one path that every spelling of the directory leads to.

Always: links are resolved, and two different directories never get the same true name. The true name is asked of the
system; no spelling is guessed by changing letters.

On Windows, `os.path.realpath` already returns the names as the disk stores them. Some programs put the prefix for long
paths before every path. `os.path.realpath` keeps this prefix, so it is removed here. On macOS, most disks ignore upper
and lower case and Unicode forms, and `os.path.realpath` keeps the spelling that it was given. On Linux, a spelling that
differs is another name, and nothing more is asked.
"""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_LONGEST: Final = 1024
"""The bytes of the longest path on macOS, with the NUL at its end (MAXPATHLEN in its sys/param.h)."""

_PREFIX: Final = "\\\\?\\"
"""The prefix for long paths on Windows. After it, Windows does not change names, for example one that ends in a dot.

Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file (section "Win32 File Namespaces").
"""

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class Calls(NamedTuple):
    """The system's calls that return the true path of an open directory.

    `open` is open(2). `control` is fcntl(2). `get_path` is the number of its command F_GETPATH, which fills a buffer
    of 1,024 bytes with the path and a NUL (macOS manual, fcntl(2)).
    """

    open: Callable[[str, int], int]
    control: Callable[[int, int, bytes], bytes]
    get_path: int


calls: Calls | None = None
"""How this system is asked for true names. None if `os.path.realpath` is all that it offers."""

if sys.platform == "darwin":
    import fcntl

    calls = Calls(os.open, fcntl.fcntl, fcntl.F_GETPATH)


def true_path(path: Path | str) -> str:
    """Resolve all links in a path, and spell its directories as the disk stores their names.

    The path need not exist, and it may lead to a file. The result is then the true name of the nearest directory that
    exists, followed by the other names as given. The same is done for a directory that cannot be opened.

    Raises:
        OSError: a part of the path cannot be examined.
        ValueError: the path contains a NUL.
    """
    if "\0" in os.fspath(path):  # from Python 3.12 on, realpath does not raise the error on Windows
        raise ValueError("null character in path")
    real = _without_prefix(os.path.realpath(path))
    return real if calls is None else _as_stored(real, calls)


def is_one_directory(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same directory now, for example because it is mounted at both paths.

    False if either of them is no directory or cannot be examined, and if the file system does not number its files.
    """
    try:
        status, others = one.stat(), other.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_ino != 0 and os.path.samestat(status, others)


def _without_prefix(real: str) -> str:
    """Remove the prefix for long paths from a Windows path, and return its true name. Return other paths unchanged.

    If the path would lead elsewhere without the prefix, the prefix stays.
    """
    if sys.platform == "win32":
        if not real.startswith(_PREFIX):
            return real
        rest = real.removeprefix(_PREFIX)
        plain = "\\\\" + rest[4:] if rest[:4].upper() == "UNC\\" else rest
        # Without the prefix, Windows drops dots and blanks at the end of names, and opens a device for the name NUL.
        return os.path.realpath(plain) if os.path.abspath(plain) == plain else real  # noqa: PTH100  text in and out
    else:
        return real


def _as_stored(real: str, system: Calls) -> str:
    """Return the true path of the nearest directory that can be opened, and add the rest of `real` to it."""
    directory, rest = real, ""
    while (name := _name_of(directory, system)) is None:
        above, last = os.path.split(directory)
        if above == directory:
            return real
        directory, rest = above, os.path.join(last, rest) if rest else last  # noqa: PTH118  text in and out, as realpath
    return os.path.join(name, rest) if rest else name  # noqa: PTH118  as above


def _name_of(directory: str, system: Calls) -> str | None:
    """Return the true path of a directory, or None if it cannot be opened or the system does not know its path.

    A system can answer with an outdated path, for example after a directory above was renamed. The answer therefore
    counts only if it leads to the directory that was opened.
    """
    try:
        descriptor = system.open(directory, _FLAGS)
    except OSError:
        return None
    try:
        answer = system.control(descriptor, system.get_path, bytes(_LONGEST))
        name = os.fsdecode(answer.partition(b"\0")[0])
        return name if os.path.samestat(os.fstat(descriptor), os.stat(name)) else None  # noqa: PTH116  as above
    except OSError:
        return None
    finally:
        os.close(descriptor)
