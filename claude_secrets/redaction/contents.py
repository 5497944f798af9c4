"""Scans a file, a git object or standard input for values, including the archives inside it.

Always: every part that could not be scanned is reported as a `Gap`, never skipped. Values are held only in memory.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import IO, Final, NamedTuple, TypeAlias

from claude_secrets.redaction.archive_kinds import HEAD, TAIL, kind_of
from claude_secrets.redaction.archives import Budget, ExhaustedError, members
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import ClosedError, Reason
from claude_secrets.redaction.leaks import leaks_in, leaks_in_names

IN_NAME: Final = 0
"""The line number that is reported for a value in the name of a file or branch."""

_DEPTH: Final = 3
"""How many levels of nested archives are scanned."""

_KEPT: Final = 1 << 26
"""The maximum size in bytes of an archive that is not a file on disk. The archive is kept in memory."""

_POINTER: Final = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")


class Spot(NamedTuple):
    """A value of the secret `name` on a line of a content or of an archive member.

    `inside` is the member's path; it is empty if the value is in the content itself.
    """

    inside: str
    line: int
    name: str


class Gap(NamedTuple):
    """A part of a content that could not be scanned, and the reason.

    `inside` is the path of the archive member that could not be scanned; it is empty for the content itself.
    """

    inside: str
    why: Reason


Seen: TypeAlias = list[Spot | Gap]
OfLfs: TypeAlias = Callable[[str], IO[bytes] | None]
"""Opens the git LFS object with a given SHA-256 hash, or returns None if the object is not on this machine."""


def look_through(
    finder: Finder, pieces: Iterable[bytes], again: IO[bytes] | None = None, of_lfs: OfLfs | None = None
) -> Seen:
    """Return the locations of values in a content, and the parts of the content that could not be scanned.

    If the content is a file on disk, `again` is that file, open for a second reading.
    """
    kept, seen = _Kept(pieces, again), list[Spot | Gap]()
    try:
        _Looker(finder).look_at(kept, "", 0, seen)
    except ExhaustedError:
        seen.append(Gap("", Reason.TOO_LARGE))
    pointer = _POINTER.match(kept.head) if kept.size < HEAD else None
    return seen if pointer is None else seen + _of_pointer(finder, pointer[1].decode("ascii"), of_lfs)


def pieces_of(file: IO[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Yield a file's content in pieces. Raises `ClosedError` UNREADABLE if reading fails."""
    try:
        while piece := file.read(size):
            yield piece
    except OSError:
        raise ClosedError(Reason.UNREADABLE) from None


class _Kept:
    """A content that can be read twice: the second time from the file `again`, or from a copy in memory."""

    def __init__(self, pieces: Iterable[bytes], again: IO[bytes] | None) -> None:
        self._pieces = pieces
        self._again = again
        self._memory: BytesIO | None = BytesIO() if again is None else None
        self.head = self.tail = b""
        self.size = 0
        self.trouble: ClosedError | ExhaustedError | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces, up to the first error. The error is kept in `trouble`."""
        try:
            for piece in self._pieces:
                self.head += piece[: HEAD - len(self.head)]
                self.tail = (self.tail + piece)[-TAIL:]
                self.size += len(piece)
                if self._memory is not None:
                    self._memory = None if self.size > _KEPT else self._memory
                if self._memory is not None:
                    self._memory.write(piece)
                yield piece
        except (ClosedError, ExhaustedError) as trouble:  # raised later, after the scan of the pieces before it
            self.trouble = trouble

    def file(self) -> IO[bytes]:
        """Return the content as a file, for the second reading. Raises `ClosedError` TOO_LARGE if no copy was kept."""
        file = self._again or self._memory
        if file is None:
            raise ClosedError(Reason.TOO_LARGE)
        file.seek(0)
        return file


class _Looker:
    """Scans one content and the archives inside it. All these archives share one budget."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._budget: Budget | None = None

    def look_at(self, kept: _Kept, inside: str, depth: int, seen: Seen) -> None:
        """Scan a content and the archives inside it, and add the results to `seen`. Raises `ExhaustedError`."""
        own = leaks_in(self._finder, kept.pieces())
        self._budget = self._budget or Budget(kept.size)
        inner: Seen = []
        try:
            self._look_into(kept, self._budget, inside, depth, inner)
        except ClosedError as closed:
            inner.append(Gap(inside, closed.why))
        finally:
            told = {one.name for one in inner if isinstance(one, Spot)}  # a line of a member is more exact
            seen += [Spot(inside, *leak) for leak in own if leak.name not in told]
            seen += inner

    def _look_into(self, kept: _Kept, budget: Budget, inside: str, depth: int, seen: Seen) -> None:
        """If a content is an archive, scan its members. Raises `ClosedError` or `ExhaustedError`."""
        if kept.trouble is not None:
            raise kept.trouble
        kind = kind_of(kept.head, kept.tail)
        if kind is None:
            return
        if depth == _DEPTH:
            raise ClosedError(Reason.TOO_DEEP)
        names = dict[str, None]()
        try:
            for member in members(kind, kept.file(), budget):
                names |= dict.fromkeys((member.path, *member.notes))
                within = f"{inside}!/{member.path}" if member.path else f"{inside}!"
                self.look_at(_Kept(member.pieces, None), within, depth + 1, seen)
        finally:
            leaks = leaks_in_names(self._finder, names)
            seen += dict.fromkeys(Spot(f"{inside}!/{path}", IN_NAME, name) for path, name in leaks)


def _of_pointer(finder: Finder, number: str, of_lfs: OfLfs | None) -> Seen:
    file = of_lfs(number) if of_lfs is not None else None
    if file is None:
        return [Gap("", Reason.IN_LFS)]
    with file:
        return look_through(finder, pieces_of(file), file)
