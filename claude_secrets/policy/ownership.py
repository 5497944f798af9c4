"""Read the person's files only if no other user can write them, and detect paths that other users can change.

Always: this module changes no file. Root is trusted like the person. A group is trusted only if it is the private group
of the person or of root. On Windows nothing is checked, because access lists control who can write.
"""

import os
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy.strict_yaml import SIZE_LIMIT
from claude_secrets.small_file import LinkRefusedError, read_file

CheckLink = Callable[[Path], None]
"""Raises `DeniedError` if a link leads through a directory in which a project could have planted the link."""


def no_link_check(_link: Path) -> None:
    """Accept every link. This is for callers that read settings early. A gate checks the links at each call."""


_OVERFLOW: Final = 65534
"""The system shows this uid for an owner that it cannot map, from another user namespace or a file server."""

_ACL: Final = "system.posix_acl_access"
_ACL_HEAD: Final = 4
_ACL_ENTRY: Final = struct.Struct("<HHI")
_ACL_NAMED_USER: Final = 0x02
_ACL_NAMED_GROUP: Final = 0x08
_ACL_WRITE: Final = 0x02


def read_own(path: Path, check_link: CheckLink) -> bytes | None:
    """Read one of the person's files. Return None if the file is missing.

    At most one byte more than the size limit is read.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the file cannot be read or is not a plain file, if another user owns it or can
            write it, or if `check_link` refuses it.
    """
    try:
        try:  # opening the file is the cheapest way to tell a link from a file
            return read_file(path, limit=SIZE_LIMIT, check=partial(_refuse_foreign, path)).data
        except LinkRefusedError:
            _check(path, check_link)
        return read_file(path, limit=SIZE_LIMIT, follow=True, check=partial(_refuse_foreign, path)).data
    except FileNotFoundError:
        if path.is_symlink():  # a broken link: the settings in its target are unknown
            raise unreadable(path) from None
        return None
    except OSError:
        raise unreadable(path) from None


def unreadable(path: Path) -> DeniedError:
    """Return the error that denies every call while one of the person's files or directories cannot be read."""
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"Your {path.name} cannot be read. Everything is denied until it can be read.",
        f"Check the permissions and the type of {path}. If it is a link, also check its target.",
    )


def others_write(path: Path, status: os.stat_result) -> bool:
    """Whether the path's mode or its access list allows writing by users other than the person and root.

    The private group of the person or of root does not count as other users.
    """
    if sys.platform == "win32":
        return False
    else:
        mode = status.st_mode
        if mode & stat.S_IWOTH:
            return True
        if not mode & stat.S_IWGRP:
            return False
        # The group bits limit the access list: if they are not set, the access list cannot let others write.
        return not any(_is_private(status.st_gid, uid) for uid in {0, os.geteuid()}) or _granted(path)


def exposed(place: Path) -> tuple[str, str] | None:
    """Return a problem and its fix if other users can change the content of `place`, else None."""
    try:
        status = place.stat()
    except OSError:  # the path does not exist yet; the person will own it when it is created
        return None
    if sys.platform == "win32":
        return None
    else:
        if status.st_uid not in (0, os.geteuid(), _OVERFLOW):
            return (
                f"belongs to another user (uid {status.st_uid})",
                "Keep it in a directory of your own inside your home directory.",
            )
        if not status.st_mode & stat.S_ISVTX and others_write(place, status):
            sudo = "" if status.st_uid == os.geteuid() else "sudo "
            return "can be written by others", f"{sudo}chmod go-w {quoted(place)}"
        return None


def quoted(path: Path) -> str:
    """Return the path quoted for a shell."""
    from claude_secrets import shell_words  # only needed for errors

    return shell_words.quoted(str(path))


@cache
def _is_private(gid: int, uid: int) -> bool:
    """Whether a group is a user's private group. A private group has the user's name and no other members."""
    if sys.platform == "win32":
        return False
    else:
        import grp
        import pwd

        try:
            user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
        except KeyError:  # in a container, the user may have no entry
            return _is_unnamed(gid) and gid == uid == os.geteuid()
        return user.pw_gid == gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _is_unnamed(gid: int) -> bool:
    if sys.platform == "win32":
        return False
    else:
        import grp

        with suppress(KeyError):
            grp.getgrgid(gid)
            return False
        return True


def _granted(path: Path) -> bool:
    """Whether the path's access list lets another user or any group write."""
    if sys.platform != "linux":
        return False
    else:
        try:
            entries = os.getxattr(path, _ACL)[_ACL_HEAD:]
        except OSError:  # there is no access list, or the file system does not support access lists
            return False
        mine = {(_ACL_NAMED_USER, 0), (_ACL_NAMED_USER, os.geteuid())}
        return any(
            right & _ACL_WRITE and tag in (_ACL_NAMED_USER, _ACL_NAMED_GROUP) and (tag, number) not in mine
            for tag, right, number in _ACL_ENTRY.iter_unpack(entries)
        )


def _check(path: Path, check_link: CheckLink) -> None:
    try:
        check_link(path)
    except DeniedError:
        put = f"cp {quoted(path)} {quoted(path)}.new && mv {quoted(path)}.new"
        raise _refused(f"Your {path.name} is a link that leads through the project", path, put) from None


def _refuse_foreign(path: Path, descriptor: int) -> None:
    """Refuse a file of the person if another user owns the file or can write it."""
    if sys.platform != "win32":
        status = os.fstat(descriptor)
        if status.st_uid not in (0, os.geteuid()):
            who = "an unknown user" if status.st_uid == _OVERFLOW else "another user"
            raise _refused(
                f"Your {path.name} belongs to {who} (uid {status.st_uid})", path, f"sudo chown {os.geteuid()}"
            )
        if others_write(path, status):
            raise _refused(f"Users other than you can write your {path.name}", path, "chmod go-w")


def _refused(problem: str, path: Path, command: str) -> DeniedError:
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"{problem}. Everything is denied until this problem is fixed.",
        f"Check the file's content. If the content is right, run: {command} {quoted(path)}",
    )
