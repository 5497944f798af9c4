"""Recognises the paths that hooks forbid to file tools: the store, its keys and the person's own files.

Always: a path is recognised by the file that it leads to, even if the path is spelled with links, `..` or `~`. Files
that do not exist yet are guarded, too. This module changes nothing.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

from claude_secrets import paths
from claude_secrets.policy.config import CONFIG
from claude_secrets.policy.personal_files import POLICY, POLICY_JSON
from claude_secrets.true_names import true_path

_LONGEST: Final = 4096
"""The most characters of a path. No system opens a longer path."""

_WILD: Final = frozenset("*?[")
_ALTERNATIVES: Final = 200

NO_PATHS: Final = frozenset(
    {"body", "comment", "content", "contents", "description", "message", "prompt", "subject", "summary", "text"}
    | {"title", "value", "newText", "new_str", "new_string", "new_text", "oldText", "old_str", "old_string", "old_text"}
)
"""Fields in tools' inputs that contain text or messages, and never a path."""

_Number = tuple[int, int]


class _Location(NamedTuple):
    """The location of a file that may not exist yet: the existing part of its path, and the names below that part."""

    number: _Number
    below: tuple[str, ...]


class Guard:
    """Guards the files of the stores `stores`, the key files `keys`, and the person's own files and directories.

    `bases` are the directories against which tools resolve relative paths.
    """

    def __init__(self, stores: Iterable[Path], keys: Iterable[Path], bases: Iterable[Path]) -> None:
        directories = paths.own_directories().all()
        files = (directory / name for directory in directories for name in (CONFIG, POLICY, POLICY_JSON))
        self._keys = {_real(key) for key in keys}
        self._kept = {_real(store) for store in stores} | self._keys
        self._own = {_real(path) for path in (*directories, *files)}
        self._bases = tuple(dict.fromkeys(_real(base) for base in bases))
        busy = {*paths.home_directories(), *self._bases}
        narrow = {one.parent for one in self._kept if not any(_is_within(base, one.parent) for base in busy)}
        self._directories = narrow

    def keeps(self, path: Path) -> bool:
        """Return whether a path is a store, a file that belongs to a store, a key, or the directory of one of these."""
        return any(_is_same(path, directory) for directory in self._directories) or any(
            _is_same(path, one)
            or (path.name.startswith((one.name, f".{one.name}")) and _is_same(path.parent, one.parent))
            for one in self._kept
        )

    def owns(self, path: Path) -> bool:
        """Return whether a path is one of the person's own files or directories, or is inside one of them."""
        return any(_is_within(path, one) for one in self._own)

    def holds_guarded(self, path: Path) -> bool:
        """Return whether a path is guarded, or is a directory that contains a guarded file at any depth."""
        return any(_is_within(one, path) for one in self._kept | self._own)

    def has_key_below(self, path: Path) -> bool:
        """Return whether a directory contains a key file at any depth."""
        return any(_is_within(key, path) for key in self._keys)

    def leads(self, text: str) -> list[Path]:
        """Read a text as a path or a `file:` URL, and return the paths that it can lead to."""
        if not 0 < len(text) <= _LONGEST or "\0" in text or "\n" in text:
            return []
        if text[:5].lower() == "file:":
            address = unquote(text[5:])
            text = "/" + address[2:].partition("/")[2] if address.startswith("//") else address
        return [path for spelled in _at_homes(text) for base in self._bases for path in self._ends(base, spelled)]

    def may_match(self, pattern: str, directory: str) -> bool:
        """Return whether a pattern of file names, relative to a directory, can match a store or a key."""
        return any(
            self._matches(one if one.startswith("~") else os.path.join(directory, one))  # noqa: PTH118  Path drops ".."
            for one in islice(_alternatives(pattern), _ALTERNATIVES)
        )

    def _ends(self, base: Path, text: str) -> set[Path]:
        if not (self._is_near or os.path.isabs(text) or ".." in text):  # noqa: PTH117  called for every text
            first = text.removeprefix("./").partition("/")[0]
            if first and not os.path.lexists(base / first):  # rules out nearly every text that is no path
                return set()
        path = os.path.join(base, text)  # noqa: PTH118  as above
        # Some tools resolve links before they remove `..`, and others do so afterwards.
        return {_real(Path(path)), _real(Path(os.path.normpath(path)))}

    @cached_property
    def _is_near(self) -> bool:
        """Whether a relative path can lead to a guarded file that does not exist yet."""
        return any(
            self.holds_guarded(base) or self.owns(base) or self.keeps(base / "x") for base in self._bases
        ) or any(_is_same(base, one.parent) for base in self._bases for one in self._kept)

    def _matches(self, pattern: str) -> bool:
        parts = pattern.split("/")
        fixed = next((number for number, part in enumerate(parts) if _WILD & set(part)), len(parts))
        rest = tuple(parts[fixed:])
        for directory in self.leads("/".join(parts[:fixed]) or "/"):
            if not rest and self.keeps(directory):
                return True
            if ".." in rest:  # the `..` leaves a directory that is not known
                return True
            for one in self._kept:
                if one.is_relative_to(directory) and _fits(one.relative_to(directory).parts, rest):
                    return True
        return False


def texts(value: object, leaving_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """Iterate over every text in a tool's input or output, including keys.

    Texts in the fields `leaving_out` are skipped.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from texts(one, leaving_out)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield key
            if not (isinstance(one, str) and key in leaving_out):
                yield from texts(one, leaving_out)


def _fits(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether names match a pattern component by component; `**` matches any number of components."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(names[skipped:], pattern[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatch(names[0], pattern[0]) and _fits(names[1:], pattern[1:])


def _alternatives(pattern: str) -> Iterator[str]:
    """Iterate over the patterns that result from expanding `{a,b}`."""
    end = pattern.find("}")
    begin = pattern.rfind("{", 0, end) if end >= 0 else -1
    if begin < 0:
        yield pattern
        return
    for word in pattern[begin + 1 : end].split(","):
        yield from _alternatives(pattern[:begin] + word + pattern[end + 1 :])


def _at_homes(text: str) -> set[str]:
    """Return the text, and the text with `~` replaced by the environment's and by the account's home directory."""
    if not text.startswith("~"):
        return {text}
    first, _, rest = text.partition("/")
    homes = {Path(first).expanduser()} if first != "~" else {paths.home(), paths.account_home()}
    return {text, *(str(home / rest) for home in homes)}


def _real(path: Path) -> Path:
    try:
        return Path(true_path(path))
    except (OSError, ValueError):
        return Path(os.path.abspath(path))  # noqa: PTH100  Path.absolute keeps ".."


@lru_cache(maxsize=4096)
def _number(path: Path) -> _Number | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino)


def _place(path: Path) -> _Location | None:
    for step in (path, *path.parents):
        if (number := _number(step)) is not None:
            return _Location(number, _names(path, step))
    return None


def _names(path: Path, below: Path) -> tuple[str, ...]:
    return tuple(name.casefold() for name in path.relative_to(below).parts)


def _is_same(path: Path, other: Path) -> bool:
    return path == other or ((place := _place(path)) is not None and place == _place(other))


def _is_within(path: Path, outer: Path) -> bool:
    """Return whether a path is `outer` or inside it. The paths may be spelled differently, and need not exist yet."""
    if path.is_relative_to(outer):
        return True
    place = _place(outer)
    return place is not None and any(
        _number(step) == place.number and _names(path, step)[: len(place.below)] == place.below
        for step in (path, *path.parents)
    )
