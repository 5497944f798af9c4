"""Read a small plain file safely, and replace a file in one step. `atomic_file` makes new files.

Always: checks use the open descriptor, because the path may have become a link or a pipe since. A link is followed only
if the caller allows it. No read waits for a pipe.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.atomic_file import sync_directory, write_all

# On Windows only O_BINARY of these flags exists.
_FLAGS: Final = getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _FLAGS

_PERMISSIONS: Final = 0o777
"""The mode without the set-user-ID, set-group-ID and sticky bits."""


class LinkRefusedError(OSError):
    """The file is a link, and the caller does not allow links."""


class SmallFile(NamedTuple):
    """The bytes that were read from a file, and its status at that moment."""

    data: bytes
    status: os.stat_result

    def __repr__(self) -> str:
        return "SmallFile()"


def read_file(
    path: Path | str,
    *,
    limit: int,
    follow: bool = False,
    directory: int | None = None,
    check: Callable[[os.stat_result], None] | None = None,
) -> SmallFile:
    """Read a plain file, at most `limit` bytes and one more, which shows the caller that the file is too long.

    `follow`: the file may be a link. `directory` is the descriptor of an open directory that `path` is relative to.
    `check` gets the status before anything is read, and raises if the file must not be read.

    Raises:
        LinkRefusedError: the file is a link, and `follow` is False.
        OSError: the file is missing, is not a plain file, or cannot be read.
    """
    descriptor = _open(path, follow=follow, directory=directory)
    try:
        status = os.fstat(descriptor)
        if check is not None:
            check(status)
        if not stat.S_ISREG(status.st_mode):
            raise OSError
        data = b""
        while len(data) <= limit and (more := os.read(descriptor, limit + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    return SmallFile(data, status)


def replace_file(
    path: Path,
    data: bytes,
    status: os.stat_result,
    *,
    owner_must_stay: bool,
    draft: Path | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Replace the file at `path` by one that holds `data` and has the permissions, owner and group of `status`.

    `status` is that of the file as it was read, so that a file that came to `path` since cannot lend its owner.

    Without `owner_must_stay` the file becomes the caller's if the system does not allow that owner and group. It then
    has no set-user-ID or set-group-ID bit, which could name somebody else. `draft` is the path of the new file until it
    is complete; by default a random name. `check` is called when the new file is complete, and raises if the old file
    must stay.

    Raises:
        OSError: the file cannot be replaced. After any error the old file is unchanged and the draft is gone.
    """
    draft = draft or path.with_name(f".{os.urandom(8).hex()}.new")
    try:
        _make(draft, data, status, owner_must_stay=owner_must_stay)
        check()
        draft.replace(path)
    finally:
        with suppress(OSError):  # it was renamed to the file
            draft.unlink()
    sync_directory(path.parent)


def _open(path: Path | str, *, follow: bool, directory: int | None) -> int:
    if follow:
        return os.open(path, _READ, dir_fd=directory)
    if not _NOFOLLOW and os.path.islink(path):  # noqa: PTH114  a path or its text
        raise LinkRefusedError
    try:
        return os.open(path, _READ | _NOFOLLOW, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # the errors of systems for a link that is not followed
            raise LinkRefusedError from None
        raise


def _make(draft: Path, data: bytes, status: os.stat_result, *, owner_must_stay: bool) -> None:
    descriptor = os.open(draft, _MAKE, 0o600)
    try:
        if sys.platform != "win32":  # on Windows a file takes the access list of its directory
            try:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            except OSError:
                if owner_must_stay:
                    raise
            mode = stat.S_IMODE(status.st_mode) if owner_must_stay else status.st_mode & _PERMISSIONS
            os.fchmod(descriptor, mode)  # after fchown, which clears bits
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
