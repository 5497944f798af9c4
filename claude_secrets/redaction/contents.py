"""Scans one content for values: a file, a git object or standard input, and the archives in it.

Always: every part that could not be scanned is reported as a `Gap`, never skipped; values are held in memory only.
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
"""The line number for a value that is part of a name: of a file or a branch."""

_DEPTH: Final = 3
"""How many levels of archives inside each other are scanned."""

_KEPT: Final = 1 << 26
"""Bytes of an archive that is not a file itself, at most. It is kept in memory."""

_POINTER: Final = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")


class Spot(NamedTuple):
    """A value of the secret `name`: on a line of the member `inside`, or of the content itself if that is empty."""

    inside: str
    line: int
    name: str


class Gap(NamedTuple):
    """A part that could not be scanned: the member `inside`, or the content itself if that is empty."""

    inside: str
    why: Reason


Seen: TypeAlias = list[Spot | Gap]
OfLfs: TypeAlias = Callable[[str], IO[bytes] | None]
"""Opens the object that git LFS keeps under a number, if it is on this machine."""


def look_through(
    finder: Finder, pieces: Iterable[bytes], again: IO[bytes] | None = None, of_lfs: OfLfs | None = None
) -> Seen:
    """Return where values are in a content, and which parts of it could not be scanned.

    `again` is the same content as a file, if it is one.
    """
    kept, seen = _Kept(pieces, again), list[Spot | Gap]()
    try:
        _Looker(finder).look_at(kept, "", 0, seen)
    except ExhaustedError:
        seen.append(Gap("", Reason.TOO_LARGE))
    pointer = _POINTER.match(kept.head) if kept.size < HEAD else None
    return seen if pointer is None else seen + _of_pointer(finder, pointer[1].decode("ascii"), of_lfs)


def pieces_of(file: IO[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Yield a file in pieces. Raises `ClosedError` UNREADABLE."""
    try:
        while piece := file.read(size):
            yield piece
    except OSError:
        raise ClosedError(Reason.UNREADABLE) from None


class _Kept:
    """A content that is read once, and the copy of it that is kept to read it again."""

    def __init__(self, pieces: Iterable[bytes], again: IO[bytes] | None) -> None:
        self._pieces = pieces
        self._again = again
        self._memory: BytesIO | None = BytesIO() if again is None else None
        self.head = self.tail = b""
        self.size = 0
        self.trouble: ClosedError | ExhaustedError | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the content as far as it can be read."""
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
        except (ClosedError, ExhaustedError) as trouble:  # raised later: the pieces so far are scanned first
            self.trouble = trouble

    def file(self) -> IO[bytes]:
        """Return the content again, from its start. Raises `ClosedError` TOO_LARGE."""
        file = self._again or self._memory
        if file is None:
            raise ClosedError(Reason.TOO_LARGE)
        file.seek(0)
        return file


class _Looker:
    """Scans one content and the archives in it, which share a budget."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._budget: Budget | None = None

    def look_at(self, kept: _Kept, inside: str, depth: int, seen: Seen) -> None:
        """Scan a content and the archives in it, and add to `seen`. Raises `ExhaustedError`."""
        own = leaks_in(self._finder, kept.pieces())
        self._budget = self._budget or Budget(kept.size)
        inner: Seen = []
        try:
            self._look_into(kept, self._budget, inside, depth, inner)
        except ClosedError as closed:
            inner.append(Gap(inside, closed.why))
        finally:
            told = {one.name for one in inner if isinstance(one, Spot)}  # more exact than the archive's own bytes
            seen += [Spot(inside, *leak) for leak in own if leak.name not in told]
            seen += inner

    def _look_into(self, kept: _Kept, budget: Budget, inside: str, depth: int, seen: Seen) -> None:
        """Scan the archive that a content may be. Raises `ClosedError`, `ExhaustedError`."""
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
