"""Making a new file under a draft's name, by one process at a time, and renaming it when it is whole.

Always: an existing file is never replaced. Only the process that holds the draft's lock touches the draft; a process
that is killed releases the lock.
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
    """The draft at `path`, which this process alone has; it `stays` in the end only where that is set."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.stays = False
        self._descriptor = descriptor

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet: not left behind by a process that was killed."""
        return os.fstat(self._descriptor).st_size == 0

    def write(self, data: bytes) -> None:
        """Fill it, in place of all that was there, and have it on the disk, private to the person. Raises `OSError`."""
        if sys.platform != "win32":
            os.fchmod(self._descriptor, 0o600)  # whatever the umask took away
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        write_all(self._descriptor, data)
        os.fsync(self._descriptor)

    def stands_at(self, target: Path) -> bool:
        """Whether the file has that name, too."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), target.stat())
        except OSError:
            return False

    def put_in_place(self, target: Path) -> bool:
        """Give the file its own name. Returns False, having changed nothing, where that is taken. Raises `OSError`."""
        try:
            # A hard link fails where the name is taken: the atomic "rename unless there is one".
            target.hardlink_to(self.path)
        except FileExistsError:
            return False
        sync_directory(target.parent)
        return True


@contextmanager
def draft(path: Path, *, patience: float) -> Iterator[Draft | None]:
    """The draft at `path`, made if need be and removed in the end; None where another process had it for too long.

    `patience` in seconds.

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
        if sys.platform == "win32":  # where an open file cannot be removed; the next one takes over what is left
            os.close(descriptor)
        if not begun.stays:
            with suppress(OSError):
                path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, each for the person only whatever the umask is.

    Raises:
        OSError: one cannot be made.
    """
    missing = [each for each in (directory, *directory.parents) if not os.path.lexists(each)]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process made it meanwhile
            each.mkdir(mode=0o700)
            if sys.platform != "win32" and each.stat().st_mode & 0o700 != 0o700:  # the umask took rights away
                each.chmod(0o700)
    if not directory.is_dir():
        raise NotADirectoryError


def write_new(path: Path, data: bytes) -> bool:
    """Make a file that is private to the person and holds `data`. Returns False where `path` is taken.

    On Linux a process that is killed on the way leaves nothing at all; elsewhere it can leave a draft.

    Raises:
        OSError: it cannot be made.
    """
    if hasattr(os, "O_TMPFILE"):
        with suppress(OSError):  # a file system that has no files without names, or no /proc
            return _write_nameless(path, data)
    # Nobody else has a file of that name, which is removed in the end.
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
            # A descriptor of the directory, for only then Python follows the link in /proc.
            os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=directory, follow_symlinks=True)
            with suppress(OSError):  # it stands already
                os.fsync(directory)
        finally:
            os.close(descriptor)
    except FileExistsError:
        return False
    finally:
        os.close(directory)
    return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however much the system takes at once. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(directory: Path) -> None:
    """Make a new name durable where the system can; it stands already, so failing here must not undo it."""
    if sys.platform == "win32":  # directories cannot be opened there; NTFS journals the name
        return
    with suppress(OSError):  # a directory that cannot be read, a file system that cannot sync one
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
                os.fchmod(descriptor, 0o600)  # the umask took it away, and others have to open it, too
            if _lock(descriptor):
                # Its last holder may have removed it between our opening and locking.
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
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # beyond all that is ever written: others may read the file
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
