"""Make a new file as a draft, by one process at a time, and give it its own name when it is complete.

Always: an existing file is never replaced. Only the process that holds the draft's lock changes the draft. A killed
process releases its lock.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_WAIT: Final = 0.02


class Draft:
    """The draft at `path`, locked by this process. It is removed in the end unless `stays` is set."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.stays = False
        self._descriptor = descriptor

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet, not even by an earlier process that was killed."""
        return os.fstat(self._descriptor).st_size == 0

    def write(self, data: bytes) -> None:
        """Replace its content by `data`, private to the person, and sync it to the disk. Raises `OSError`."""
        if sys.platform != "win32":
            os.fchmod(self._descriptor, 0o600)  # for any umask
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        write_all(self._descriptor, data)
        os.fsync(self._descriptor)

    def stands_at(self, target: Path) -> bool:
        """Whether `target` is this file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), target.stat())
        except OSError:
            return False

    def put_in_place(self, target: Path) -> bool:
        """Give the file its own name. Return False if the name is taken; nothing is changed then. Raises `OSError`."""
        try:
            # A hard link fails if the name is taken. It is an atomic rename that never replaces a file.
            target.hardlink_to(self.path)
        except FileExistsError:
            return False
        sync_directory(target.parent)
        return True


@contextmanager
def draft(path: Path, *, patience: float) -> Iterator[Draft | None]:
    """Open and lock the draft at `path`, made if it is missing, and remove it in the end.

    Yields None if another process holds it for longer than `patience` seconds.

    Raises:
        OSError: it cannot be made.
    """
    descriptor = _locked(path, time.monotonic() + patience)
    if descriptor is None:
        yield None
        return
    begun = Draft(path, descriptor)
    try:
        yield begun
    finally:
        if sys.platform == "win32":  # an open file cannot be removed there; the next process reuses one that is left
            os.close(descriptor)
        if not begun.stays:
            with suppress(OSError):
                path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def make_private(directory: Path) -> None:
    """Make a directory and its missing parents. Each is private to the person, with any umask.

    Raises:
        OSError: one cannot be made.
    """
    missing = [each for each in (directory, *directory.parents) if not os.path.lexists(each)]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process has just made it
            each.mkdir(mode=0o700)
            if sys.platform != "win32" and each.stat().st_mode & 0o700 != 0o700:  # the umask removed permissions
                each.chmod(0o700)
    if not directory.is_dir():
        raise NotADirectoryError


def write_new(path: Path, data: bytes) -> bool:
    """Make a file that holds `data` and is private to the person. Return False if `path` is taken.

    On Linux a killed process leaves nothing; on other systems it can leave a draft.

    Raises:
        OSError: it cannot be made.
    """
    if hasattr(os, "O_TMPFILE"):
        with suppress(OSError):  # the file system has no nameless files, or there is no /proc
            return _write_nameless(path, data)
    # The name is random, so no other process uses it. The draft is removed in the end.
    with draft(path.with_name(f".{path.name}.{os.urandom(8).hex()}"), patience=0) as begun:
        if begun is None:
            return False
        begun.write(data)
        return begun.put_in_place(path)


def _write_nameless(path: Path, data: bytes) -> bool:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        descriptor = os.open(".", os.O_WRONLY | os.O_TMPFILE, 0o600, dir_fd=directory)
        try:
            Draft(path, descriptor).write(data)
            # Python follows the link in /proc only if it is given a descriptor of the directory.
            os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=directory, follow_symlinks=True)
            with suppress(OSError):  # the file already exists
                os.fsync(directory)
        finally:
            os.close(descriptor)
    except FileExistsError:
        return False
    finally:
        os.close(directory)
    return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, in as many steps as the system needs. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(directory: Path) -> None:
    """Make a new name durable if the system can. The name already exists, so an error here is ignored."""
    if sys.platform == "win32":  # Windows cannot open directories; NTFS journals the name
        return
    with suppress(OSError):  # the directory cannot be read, or the file system cannot sync it
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(path: Path, deadline: float) -> int | None:
    while True:
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o600
        )
        try:
            if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o777 == 0:
                os.fchmod(descriptor, 0o600)  # the umask removed it, and other processes must open it, too
            if _lock(descriptor):
                # The previous holder may have removed it between our opening and locking.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), path.lstat()):
                        return descriptor
            elif time.monotonic() > deadline:
                os.close(descriptor)
                return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(_WAIT)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # beyond any content, so that others can read the file
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
