"""Finds and reads the files that `scan` searches.

Always: links are not followed, special files are not opened, and opening a file never blocks.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Final, NamedTuple

from claude_secrets.cli.scan_outcome import ScannedPlace, Unseen, told_at
from claude_secrets.errors import CallerError, Code
from claude_secrets.links import is_link_entry
from claude_secrets.paths import command
from claude_secrets.redaction.contents import IN_NAME, look_through
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import ClosedError, Reason
from claude_secrets.redaction.leaks import leaks_in_names, redacted

_PIECE: Final = 1 << 20


class Skips(NamedTuple):
    """The globs of the paths that the person excludes from the scan."""

    globs: Sequence[str]

    def match(self, path: str) -> bool:
        """Return whether a glob matches a path, one of its parent directories, or a single component of the path.

        A `*` matches `/`, too.
        """
        parts = path.split("/")
        names = {*parts, *("/".join(parts[:end]) for end in range(1, len(parts) + 1))}
        return any(fnmatchcase(name, glob.removesuffix("/")) for glob in self.globs for name in names)


class Files:
    """The regular files to search, with their sizes.

    The store and its keys (`kept`) are not searched, because they are meant to contain values. Git's own directories
    are searched, because the URLs in `.git/config` often contain tokens. Git's objects are not searched, because they
    are compressed. `histories` contains the git directories that were found. `links` is the number of links, which are
    not followed.
    """

    def __init__(self, kept: set[Path], skips: Skips) -> None:
        self._kept = {one.with_name(one.name + end) for one in kept for end in ("", "-wal", "-shm")}
        self._names = {path.name for path in self._kept}
        self._skips = skips
        self._found: dict[Path, int] = {}
        self.unseen: dict[Path, Reason] = {}
        self.histories: list[Path] = []
        self.skipped = self.links = 0

    def add(self, path: Path) -> None:
        """Add a file that the person has named, or all files in and below a directory.

        Raises:
            CallerError: INVALID_ARGUMENTS if the path does not exist, or is neither a file nor a directory.
        """
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise CallerError(Code.INVALID_ARGUMENTS, f"{path} does not exist.") from None
        except OSError:
            self.unseen[path] = Reason.UNREADABLE
            return
        if stat.S_ISDIR(mode):
            self._walk(path)
        elif stat.S_ISREG(mode):
            if not self._is_skipped(path.name):
                self._take(path.resolve())
        else:
            raise CallerError(
                Code.INVALID_ARGUMENTS,
                f"{path} is neither a file nor a directory.",
                f"To search a program's output: PROGRAM | {command()} scan -",
            )

    def sorted(self) -> list[tuple[Path, int]]:
        """Return all files with their sizes, sorted by path."""
        return sorted(self._found.items())

    def _walk(self, top: Path) -> None:
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            try:
                with os.scandir(directory) as listed:
                    entries = list(listed)
            except FileNotFoundError:  # a process has just removed it
                continue
            except OSError:
                self.unseen[directory] = Reason.UNREADABLE
                continue
            names = {entry.name for entry in entries}
            is_git = {"objects", "refs", "HEAD"} <= names
            if is_git:
                self.histories.append(directory)
            for entry in entries:
                path = directory / entry.name
                if self._is_skipped(path.relative_to(top).as_posix()):
                    continue
                is_link = is_link_entry(entry)
                self.links += is_link
                if is_link or not entry.is_dir(follow_symlinks=False):
                    self._take(path)
                    if entry.name == ".git":  # a work tree or a submodule, whose history is in another directory
                        self.histories.append(path)
                elif not (is_git and entry.name == "objects"):
                    waiting.append(path)

    def _is_skipped(self, path: str) -> bool:
        is_skipped = self._skips.match(path)
        self.skipped += is_skipped
        return is_skipped

    def _take(self, path: Path) -> None:
        try:
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and not (path.name in self._names and path.resolve() in self._kept):
                self._found[path] = status.st_size
        except FileNotFoundError:  # a process has just removed it
            return
        except OSError:
            self.unseen[path] = Reason.UNREADABLE


def in_files(finder: Finder, files: Files, tell: Callable[[int, int], None]) -> Iterator[ScannedPlace | Unseen]:
    """Search the files and their names. Yield the values that were found and the files that could not be searched."""
    paths = files.sorted()
    yield from in_names(finder, [str(path) for path, _ in paths])
    for path, why in sorted(files.unseen.items()):
        yield Unseen(redacted(finder, str(path)), why)
    total, done = sum(size for _, size in paths), 0
    for path, size in paths:
        try:
            with open_plainly(path) as file:
                yield from told_at(finder, look_through(finder, _pieces(file), file), str(path))
        except FileNotFoundError:
            if path.parent.exists():  # otherwise the whole directory was removed
                yield Unseen(redacted(finder, str(path)), Reason.CHANGED)
        except OSError:
            yield Unseen(redacted(finder, str(path)), Reason.UNREADABLE)
        done += size
        tell(done, total)


def in_names(finder: Finder, names: Sequence[str]) -> Iterator[ScannedPlace]:
    """Search paths and other names for values."""
    places = (ScannedPlace(redacted(finder, path), IN_NAME, name) for path, name in leaks_in_names(finder, names))
    yield from dict.fromkeys(places)


def open_plainly(path: Path) -> IO[bytes]:
    """Open a file for reading without blocking, even if it has become a pipe or device. Raises `OSError`."""
    more = getattr(os, "O_NONBLOCK", 0)
    return path.open("rb") if not more else open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Read as many bytes as the file had when it was opened. Raises `ClosedError` if fewer bytes can be read."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ClosedError(Reason.CHANGED)
    taken = 0
    while taken < status.st_size or not status.st_size:  # some files in /proc have content but size 0
        try:
            piece = os.read(file.fileno(), min(_PIECE, status.st_size - taken) or _PIECE)
        except OSError:
            raise ClosedError(Reason.UNREADABLE) from None
        if not piece:
            break
        taken += len(piece)
        yield piece
    if taken < status.st_size:
        raise ClosedError(Reason.CHANGED)
