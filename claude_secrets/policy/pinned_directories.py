"""Detect when a directory that calls come from is moved or replaced while the server runs.

Always: after such a change, calls from the directory are refused until the server restarts. The server keeps each
directory open, up to a limit. An open directory keeps its inode number, so another directory cannot replace it
unnoticed.
"""

import os
import weakref
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy.project import CallOrigin, real_path

_OPEN_LIMIT: Final = 64
"""The most directories that are kept open. Further directories are only compared."""

_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class _Seen(NamedTuple):
    """A path's real path, and the device and inode numbers of its directory (None if there was no directory)."""

    real: str
    number: tuple[int, int] | None


class Directories:
    """The directories that this process has seen. They are closed by `close` or when this object is deleted."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._projects: dict[CallOrigin, Path] = {}
        self._open: list[int] = []
        self.close = weakref.finalize(self, _close, self._open)

    def start(self, where: CallOrigin) -> None:
        """Record the directories that are known when the server starts.

        The recorded working directory is the one that the process runs in, even if that directory was moved.

        Raises:
            DeniedError: the same errors as `check`.
        """
        here = where.working_directory
        if _is_somewhere():
            self._seen[here] = _Seen(real_path(here), self._number(os.curdir))
        self.check(where)

    def check(self, where: CallOrigin) -> None:
        """Check that the directories in `where` are the same as when they were first seen.

        Raises:
            DeniedError: PROJECT_CONFLICT if a path now leads to another directory, NO_PROJECT if a path is invalid.
        """
        for path in _named(where):
            self._compare(path)

    def check_project(self, where: CallOrigin, project: Path) -> None:
        """Check that `project` is the project that was first found from the directories in `where`.

        Raises:
            DeniedError: PROJECT_CONFLICT if `project` is another project, or if its directory was replaced.
        """
        before = self._projects.get(where)
        if before is None:
            # `locate` reads the directories again after `check`, and they may have changed in between.
            if not any(Path(self._seen[path].real).is_relative_to(project) for path in _named(where)):
                raise _replaced()
            self._projects[where] = project
        elif project != before:
            raise _replaced()
        self._compare(project)

    def _compare(self, path: Path) -> None:
        seen, real = self._seen.get(path), real_path(path)
        if seen is None or (seen.number is None and seen.real == real):
            self._seen[path] = _Seen(real, self._number(real))
        elif seen.real != real or _number_now(path) not in (seen.number, None):
            raise _replaced()

    def _number(self, path: str) -> tuple[int, int] | None:
        """Return a directory's device and inode numbers, and keep the directory open if possible."""
        if len(self._open) < _OPEN_LIMIT:
            try:
                descriptor = os.open(path, _FLAGS)
            except OSError:  # the directory is missing or cannot be opened, or this is Windows
                return _number_now(path)
            self._open.append(descriptor)
            status = os.fstat(descriptor)
            return (status.st_dev, status.st_ino)
        return _number_now(path)


def _named(where: CallOrigin) -> list[Path]:
    """Return the directories from which the project is found."""
    if where.argument is not None:
        return [where.argument]
    return [path for path in dict.fromkeys((where.environment, where.root, where.working_directory)) if path]


def _is_somewhere() -> bool:
    """Whether the working directory still exists."""
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _number_now(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  runs at every call, and no conversion is faster
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _replaced() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "A directory from which this server found its project was moved or replaced while the server ran, "
        "or now leads to another project.",
        "If the person made this change, they can restart the server (in the client: reconnect it).",
    )
