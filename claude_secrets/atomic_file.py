"""Create a file atomically: one process writes a draft, which gets its final name when it is complete.

Always: an existing file is never replaced. Only the process that holds the draft's lock changes the draft. If a process
is killed, its lock is released.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_WAIT: Final = 0.02


class Draft:
    """A draft file at `path` that this process has locked.

    At the end, `draft` removes the file unless `stays` is set.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.stays = False
        self._descriptor = descriptor

    @property
    def is_empty(self) -> bool:
        """Whether the draft has no content. An earlier process that was killed may have left content in it."""
        return os.fstat(self._descriptor).st_size == 0

    def write(self, data: bytes, check_private: Callable[[int], None] = lambda _: None) -> None:
        """Make the file private, replace its content with `data`, and sync it to the disk.

        On Windows, a draft is private only if it was created as a private file. `check_private` is called with the
        file's descriptor before `data` is written, and raises an error if others can read the file. Raises `OSError`.
        """
        if sys.platform != "win32":
            os.fchmod(self._descriptor, 0o600)  # the umask may have removed permissions
        check_private(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        write_all(self._descriptor, data)
        os.fsync(self._descriptor)

    def stands_at(self, target: Path) -> bool:
        """Whether the path `target` leads to this draft file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), target.stat())
        except OSError:
            return False

    def put_in_place(self, target: Path) -> bool:
        """Give the draft its final name `target`.

        Return False, without a change, if `target` exists. Raises `OSError`.
        """
        try:
            # A hard link fails if the name exists, so it works like an atomic rename that never replaces a file.
            target.hardlink_to(self.path)
        except FileExistsError:
            return False
        sync_directory(target.parent)
        return True


@contextmanager
def draft(path: Path, *, patience: float, private: bool = False) -> Iterator[Draft | None]:
    """Open and lock the draft at `path`, creating it if it is missing, and remove it when the `with` block ends.

    On Windows, the draft inherits the access list of its directory, unless `private` is set. A private draft must not
    exist yet. Only the person and administrators get access to it, if the file system accepts such a list.

    Yields None if another process keeps the draft locked for longer than `patience` seconds.

    Raises:
        OSError: the file cannot be created.
    """
    descriptor = _locked(path, time.monotonic() + patience, private=private)
    if descriptor is None:
        yield None
        return
    begun = Draft(path, descriptor)
    try:
        yield begun
    finally:
        if sys.platform == "win32":  # Windows cannot remove an open file; the next process reuses a leftover
            os.close(descriptor)
        if not begun.stays:
            with suppress(OSError):
                path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def make_private(directory: Path) -> None:
    """Create a directory and its missing parents. Each new directory is private to the person, with any umask.

    Raises:
        OSError: a directory cannot be created.
    """
    missing = [each for each in (directory, *directory.parents) if not os.path.lexists(each)]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process has just made it
            each.mkdir(mode=0o700)
            if sys.platform != "win32" and each.stat().st_mode & 0o700 != 0o700:  # the umask removed permissions
                each.chmod(0o700)
    if not directory.is_dir():
        raise NotADirectoryError


def write_new(path: Path, data: bytes, *, check_private: Callable[[int], None] = lambda _: None) -> bool:
    """Create a file that contains `data` and is private to the person. Return False if `path` exists.

    The file is not private if its file system does not store who can read a file. `check_private` is called with the
    descriptor of the empty file, and raises an error if others can read the file.

    If the process is killed, it can leave a draft, except on Linux file systems with nameless files (O_TMPFILE).

    Raises:
        OSError: the file cannot be created.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # the file system has no nameless files, or there is no /proc
            return _write_nameless(path, data, check_private)
    # The name is random, so no other process uses it. `draft` removes the draft.
    with draft(path.with_name(f".{path.name}.{os.urandom(8).hex()}"), patience=0, private=True) as begun:
        if begun is None:
            return False
        begun.write(data, check_private)
        return begun.put_in_place(path)


if sys.platform == "linux":

    def _write_nameless(path: Path, data: bytes, check_private: Callable[[int], None]) -> bool:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            descriptor = os.open(".", os.O_WRONLY | os.O_TMPFILE, 0o600, dir_fd=directory)
            try:
                Draft(path, descriptor).write(data, check_private)
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
    """Sync a directory to the disk, so that a new name in it is durable.

    Errors are ignored, because the name already exists.
    """
    if sys.platform != "win32":  # Windows cannot open directories; NTFS journals the name
        with suppress(OSError):  # the directory cannot be read, or the file system cannot sync it
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _locked(path: Path, deadline: float, *, private: bool) -> int | None:
    while True:
        descriptor = _opened(path, private=private)
        try:
            if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o777 == 0:
                os.fchmod(descriptor, 0o600)  # the umask removed all permissions, but other processes must open it
            if _lock(descriptor):
                # The previous process may have removed the draft before this process locked it.
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

    from claude_secrets.windows_access import create_private

    def _opened(path: Path, *, private: bool) -> int:
        if private:
            with suppress(OSError):  # some file servers refuse the list, because they do not know the person's account
                return create_private(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_BINARY | (os.O_EXCL if private else 0))

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # beyond any content, so that others can read the file
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _opened(path: Path, *, private: bool) -> int:  # noqa: ARG001  the mode makes every draft private
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
