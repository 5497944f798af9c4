"""Read a small plain file safely, and replace a file atomically. To create a file, use `atomic_file`.

Always: a file is opened first and checked afterwards, because another process could replace it with a link or a pipe
between a check and the opening. A link is followed only if the caller allows links. A pipe never blocks
the caller.
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
from claude_secrets.links import is_link

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
    """The content of a file, and the status of the file when it was read."""

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
    check: Callable[[int], None] | None = None,
) -> SmallFile:
    """Read at most `limit` + 1 bytes of a plain file. If more than `limit` bytes are returned, the file is too long.

    If `follow` is set, the file may be a link. `directory` is the descriptor of an open directory; `path` is relative
    to this directory. `check` is called with the open file's descriptor before anything is read, and raises an error if
    the file must not be read.

    Raises:
        LinkRefusedError: the file is a link, and `follow` is False.
        OSError: the file is missing, is not a plain file, or cannot be read.
    """
    descriptor = _open(path, follow=follow, directory=directory)
    try:
        status = os.fstat(descriptor)
        if check is not None:
            check(descriptor)
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
    check_private: Callable[[int], None] | None = None,
) -> None:
    """Replace the file at `path` with a file that contains `data` and has the permissions, owner and group of `status`.

    `status` must be the old file's status from when it was read. Another file may have appeared at `path` since then,
    and the new file must not get the other file's owner.

    If `owner_must_stay` is False, the new file belongs to the caller if the system does not allow that owner and group.
    Without `owner_must_stay`, the set-user-ID and set-group-ID bits are also cleared, because they could give the file
    the rights of a different user.

    `draft` is the path of the new file until the file is complete; by default it is a random name. `check` is called
    when the new file is complete, and raises an error if the old file must not be replaced.

    On Windows, the new file inherits the access list of its directory, unless `check_private` is given. With
    `check_private`, only the person and administrators get access to the new file. On every system, `check_private` is
    called with the descriptor of the empty file, and raises an error if others can read the file.

    Raises:
        OSError: the file cannot be replaced. After any error the old file is unchanged and the draft is gone.
    """
    draft = draft or path.with_name(f".{os.urandom(8).hex()}.new")
    try:
        _make(draft, data, status, owner_must_stay=owner_must_stay, check_private=check_private)
        check()
        draft.replace(path)
    finally:
        with suppress(OSError):  # the draft was renamed to `path`
            draft.unlink()
    sync_directory(path.parent)


def _open(path: Path | str, *, follow: bool, directory: int | None) -> int:
    if follow:
        return os.open(path, _READ, dir_fd=directory)
    if not _NOFOLLOW and is_link(path):
        raise LinkRefusedError
    try:
        return os.open(path, _READ | _NOFOLLOW, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # the path is a link
            raise LinkRefusedError from None
        raise


def _make(
    draft: Path,
    data: bytes,
    status: os.stat_result,
    *,
    owner_must_stay: bool,
    check_private: Callable[[int], None] | None,
) -> None:
    descriptor = _created(draft, private=check_private is not None)
    try:
        if sys.platform != "win32":
            try:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            except OSError:
                if owner_must_stay:
                    raise
            mode = stat.S_IMODE(status.st_mode) if owner_must_stay else status.st_mode & _PERMISSIONS
            os.fchmod(descriptor, mode)  # after fchown, because fchown clears mode bits
        if check_private is not None:
            check_private(descriptor)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    from claude_secrets.windows_access import create_private

    def _created(draft: Path, *, private: bool) -> int:
        return create_private(draft) if private else os.open(draft, _MAKE)

else:

    def _created(draft: Path, *, private: bool) -> int:  # noqa: ARG001  the mode makes every new file private
        return os.open(draft, _MAKE, 0o600)
