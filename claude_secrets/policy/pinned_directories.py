"""The directories that calls come from, held open for as long as the server runs.

Always: if one of them is replaced meanwhile, calls are refused until the server is started again. A directory that is
held open keeps its inode number, so no other directory can take its place unnoticed.
"""

import os
import weakref
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy.project import CallOrigin, real_path

_OPEN_LIMIT: Final = 64
"""Directories that are held open, at most; a client that names more of them has theirs compared only."""

_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class _Seen(NamedTuple):
    """Where a path led, and the number of the directory there; None where there was none."""

    real: str
    number: tuple[int, int] | None


class Directories:
    """What one process has seen so far. `close` lets go of it; so does losing it."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._projects: dict[CallOrigin, Path] = {}
        self._open: list[int] = []
        self.close = weakref.finalize(self, _close, self._open)

    def start(self, where: CallOrigin) -> None:
        """Take note of what this process was started with: its working directory is the one it is in, moved or not.

        Raises:
            DeniedError: as `check`.
        """
        here = where.working_directory
        if _is_somewhere():
            self._seen[here] = _Seen(real_path(here), self._number(os.curdir))
        self.check(where)

    def check(self, where: CallOrigin) -> None:
        """Compare the directories by which the project will be found with what they were at first.

        Raises:
            DeniedError: PROJECT_CONFLICT where one leads elsewhere now; NO_PROJECT as `real_path`.
        """
        for path in _named(where):
            self._compare(path)

    def check_project(self, where: CallOrigin, project: Path) -> None:
        """Compare the project that was found with the one that was found from the same places before.

        Raises:
            DeniedError: PROJECT_CONFLICT where it is another one, or another directory lies there now.
        """
        before = self._projects.get(where)
        if before is None:
            # `locate` has looked at the places once more, and they may have changed in between.
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
        """The number of a directory, which is kept open where the system can do that."""
        if len(self._open) < _OPEN_LIMIT:
            try:
                descriptor = os.open(path, _FLAGS)
            except OSError:  # it is not there, may not be opened, or this is Windows
                return _number_now(path)
            self._open.append(descriptor)
            status = os.fstat(descriptor)
            return (status.st_dev, status.st_ino)
        return _number_now(path)


def _named(where: CallOrigin) -> list[Path]:
    """The places by which the project is found."""
    if where.argument is not None:
        return [where.argument]
    return [path for path in dict.fromkeys((where.environment, where.root, where.working_directory)) if path]


def _is_somewhere() -> bool:
    """Whether the working directory is still there."""
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _number_now(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  at every call: as it is given is quicker
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _replaced() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "A directory from which this server found its project was moved or replaced while it ran, "
        "or another project is found from there now.",
        "The person can start the server again (in the client: reconnect it) if that was their doing.",
    )
