"""Searches a git repository's history and staged files for the command `scan`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, TypeAlias

from claude_secrets.cli.output import note
from claude_secrets.cli.scan_files import Skips, in_names, open_plainly
from claude_secrets.cli.scan_outcome import LISTED, ScannedPlace, Unseen, told_at
from claude_secrets.errors import CallerError
from claude_secrets.exec.git import Known, Object, Repository
from claude_secrets.exec.git_process import SilentError
from claude_secrets.redaction.contents import Gap, Seen, look_through
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import ClosedError, Reason
from claude_secrets.redaction.leaks import redacted

_Tell: TypeAlias = Callable[[int, int], None]
_HISTORY: Final = "git history"
_ENTRY: Final = {size: re.compile(rb"[0-7]{5,6} ([^\0]+)\0.{%d}" % size, re.DOTALL) for size in (20, 32)}
"""The pattern of one entry of a tree object, by the size of the hashes: 20 bytes for SHA-1, 32 for SHA-256."""


class GitScan:
    """Searches one existing repository. `skipped` is the number of paths that the person excluded."""

    def __init__(self, finder: Finder, repository: Repository, skips: Skips, tell: _Tell) -> None:
        self._finder = finder
        self._repository = repository
        self._skips = skips
        self._tell = tell
        self._in_trees = set[str]()
        self.skipped = 0

    def staged(self) -> Iterator[ScannedPlace | Unseen]:
        """Search the files that the next commit would add or change."""
        try:
            staged = self._repository.staged()
        except CallerError as error:
            yield Unseen("staged files", _why(error))
            return
        _note_submodules(staged.submodules)
        blobs = [one for one in staged.blobs if not self._is_skipped(one.path)]
        for one, seen in self._each(blobs):
            yield from told_at(self._finder, seen, one.path, " (staged)")
        for path in staged.unmerged:
            if not self._is_skipped(path):
                yield Unseen(f"{redacted(self._finder, path)} (staged)", Reason.UNMERGED)
        yield from in_names(self._finder, [one.path for one in blobs])

    def history(self) -> Iterator[ScannedPlace | Unseen]:
        """Search all objects of the repository, and the names of its branches, tags and other references."""
        try:
            yield from self._history()
        except CallerError as error:
            yield Unseen(_HISTORY, _why(error))

    def _history(self) -> Iterator[ScannedPlace | Unseen]:
        repository = self._repository
        _note_submodules(repository.submodules())
        yield from in_names(self._finder, repository.references())
        objects = repository.objects()
        yield from self._not_here(objects.missing)
        if not objects.is_whole:
            yield Unseen(f"{_HISTORY}, as a whole", Reason.DAMAGED)
        if repository.is_shallow():
            yield Unseen(f"{_HISTORY} before this shallow clone", Reason.NOT_FETCHED)
        seen = [(one, places) for one, places in self._each(objects.here) if places]
        known = self._known([one.number for one, _ in seen])
        for one, places in seen:
            yield from self._told(one, places, known)
        yield from self._names([one.path for one in objects.here if not self._is_skipped(one.path)])

    def _names(self, paths: Sequence[str]) -> Iterator[ScannedPlace]:
        """Search `paths`, and the file names in tree objects.

        The tree objects are needed because `paths` contains only one path for each object.
        """
        leaks = [*in_names(self._finder, paths)]
        yield from leaks
        told = {place.name for place in leaks}
        others = [name for name in sorted(self._in_trees) if not self._skips.match(name)]
        yield from (place for place in in_names(self._finder, others) if place.name not in told)

    def _not_here(self, missing: Sequence[Object]) -> Iterator[Unseen]:
        if missing and self._repository.is_partial():
            yield Unseen(f"git objects ({len(missing)})", Reason.NOT_FETCHED)
            return
        known = self._known([one.number for one in missing])
        for one in missing:
            for told in self._told(one, [Gap("", Reason.MISSING)], known):
                if isinstance(told, Unseen):
                    yield told

    def _known(self, numbers: Sequence[str]) -> Mapping[str, list[Known]]:
        if not numbers:
            return {}
        return self._repository.known_at(frozenset(number.encode("ascii") for number in numbers))

    def _told(self, one: Object, seen: Seen, known: Mapping[str, list[Known]]) -> Iterator[ScannedPlace | Unseen]:
        """Yield the results for one object under each of its known paths, but under no more than `LISTED` paths."""
        places = known.get(one.number) or ([Known(one.path, "")] if one.path else [])
        if not places:
            yield from told_at(self._finder, seen, f"git object {one.number[:12]}")
            return
        kept = [place for place in places if not self._skips.match(place.path)]
        for number, place in enumerate(kept[:LISTED], start=1):
            commit = f"commit {place.commit[:12]}" if place.commit else "git object"
            more = f", and {len(kept) - LISTED} more paths" if number == LISTED < len(kept) else ""
            yield from told_at(self._finder, seen, place.path, f" ({commit}{more})")

    def _each(self, objects: Sequence[Object]) -> Iterator[tuple[Object, Seen]]:
        """Search each object. If git stops answering, report the remaining objects as not searched."""
        number = 0
        try:
            for one, kind, pieces in self._repository.contents(objects):
                yield one, self._seen_in(one, kind, pieces)
                number += 1
                self._tell(number, len(objects))
        except SilentError:
            for one in objects[number:]:
                yield one, [Gap("", Reason.NO_ANSWER)]

    def _seen_in(self, one: Object, kind: str, pieces: Iterator[bytes]) -> Seen:
        if kind != "tree":
            return look_through(self._finder, pieces, None, self._of_lfs)
        try:
            names = _ENTRY[len(one.number) // 2].findall(b"".join(pieces))
        except ClosedError as closed:
            return [Gap("", closed.why)]
        self._in_trees.update(name.decode("utf-8", "replace") for name in names)
        return []

    def _of_lfs(self, number: str) -> IO[bytes] | None:
        path = self._repository.directory() / "lfs" / "objects" / number[:2] / number[2:4] / number
        with suppress(OSError):
            return open_plainly(path)
        return None

    def _is_skipped(self, path: str) -> bool:
        is_skipped = bool(path) and self._skips.match(path)
        self.skipped += is_skipped
        return is_skipped


def _why(error: CallerError) -> Reason:
    """Return why git could not read an existing repository."""
    return Reason.NO_ANSWER if isinstance(error, SilentError) else Reason.DAMAGED


def _note_submodules(number: int) -> None:
    if number:
        note(f"Not looked through: {number} submodule{'s' * (number != 1)}, because each is a separate repository.")
