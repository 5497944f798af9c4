"""A stand-in for a disk of macOS, which ignores upper and lower case and Unicode forms, and for fcntl's F_GETPATH."""

import os
import sys
import unicodedata
from pathlib import Path

from claude_secrets.true_names import Calls

F_GETPATH = 50  # sys/fcntl.h of macOS


def folded(name: str) -> str:
    """Return what all spellings of a name have in common."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


class MacDisk:
    """A stand-in. The directories are real ones below `root`, and `open` finds them in every spelling.

    It cannot make `os.path.realpath` follow a link whose name is spelled differently, as macOS does.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[int] = []
        self.closed_to: set[str] = set()
        self.answer: bytes | OSError | None = None
        self._paths: dict[int, str] = {}

    def calls(self) -> Calls:
        return Calls(self.open, self.control, F_GETPATH)

    def open(self, path: str, flags: int) -> int:
        if sys.platform != "win32":
            assert flags == os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        stored = self._stored(path)
        if stored in self.closed_to:
            raise PermissionError
        descriptor = os.open(stored, flags)
        self._paths[descriptor] = stored
        self.opened.append(descriptor)
        return descriptor

    def control(self, descriptor: int, command: int, buffer: bytes) -> bytes:
        assert (command, buffer) == (F_GETPATH, bytes(1024))
        if isinstance(self.answer, OSError):
            raise self.answer
        answer = os.fsencode(self._paths[descriptor]) if self.answer is None else self.answer
        return answer.ljust(len(buffer), b"\0")

    def _stored(self, path: str) -> str:
        """Return the path with each name below the root as the disk stores it. A missing name stays as it is."""
        if not Path(path).is_relative_to(self.root):
            return path
        found = self.root
        for name in Path(path).relative_to(self.root).parts:
            listed = os.listdir(found) if found.is_dir() else []  # noqa: PTH208  the names themselves
            found /= next((entry for entry in listed if folded(entry) == folded(name)), name)
        return str(found)
