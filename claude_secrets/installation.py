"""Notice that the program's files were replaced or removed while a server runs.

An installer writes a RECORD file, which lists each installed module with its hash. See
https://packaging.python.org/en/latest/specifications/recording-installed-packages/.

Always: only the listed content of this package counts. A changed time, a second installation of the same content and
changed dependencies do not count. If no RECORD lists this package's modules, nothing is ever reported as changed: this
includes editable installations, checkouts, zip files and packages of operating systems.
"""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.version import __version__

_PACKAGE: Final = "claude_secrets"
_DIGITS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", re.ASCII)
_RECORD_LIMIT: Final = 1 << 20
_MISSING: Final = (FileNotFoundError, NotADirectoryError)
_Stamp = tuple[int, int, int, int, int]


class Change(NamedTuple):
    """How the program's files differ from those with which this process started.

    `before` and `now` are the versions. A version is empty if it is not known or is not only digits and dots. `removed`
    is whether no version is installed now.
    """

    before: str
    now: str
    removed: bool


class Installation:
    """The installed files in `site`, the directory that contains this package, as they are at construction."""

    def __init__(self, site: Path, version: str = __version__) -> None:
        self._site = site
        self._version = version
        self._record = site / f"{_PACKAGE}-{version}.dist-info" / "RECORD"
        self._module = site / _PACKAGE / "__init__.py"
        self._stamp: _Stamp | None = None
        self._content: bytes | None = None
        with suppress(OSError):  # without a readable RECORD, nothing can be compared
            self._stamp = self._current_stamp()
            self._content = self._modules()

    @classmethod
    def of_this_process(cls) -> "Installation":
        """Return the installation from which this module was imported."""
        return cls(Path(__file__).parent.parent)

    def change(self) -> Change | None:
        """Return how the files changed since this object was made, or None if they have the same content.

        If nothing was touched, this reads no file: it only asks for the status of two files.
        """
        if self._content is None:
            return None
        try:
            stamp = self._current_stamp()
            if stamp != self._stamp:
                if self._modules() != self._content:
                    return self._described()
                self._stamp = stamp
        except _MISSING:
            return self._described()
        except OSError:  # a file system that does not answer, for example; this says nothing about the content
            return None
        return None

    def _current_stamp(self) -> _Stamp:
        """Return values that change if RECORD is written again. Raises `OSError` if a file is missing."""
        os.stat(self._module)  # noqa: PTH116  an error says more than `Path.exists`
        status = os.stat(self._record)  # noqa: PTH116  as above
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _modules(self) -> bytes | None:
        """Return a digest of the package's lines in RECORD, or None if RECORD lists none of its files.

        Installers differ in the order of the lines, and only some list compiled modules.
        """
        with self._record.open("rb") as file:
            lines = file.read(_RECORD_LIMIT).replace(b"\\", b"/").splitlines()
        own = sorted(line for line in lines if line.startswith(b"claude_secrets/") and b"/__pycache__/" not in line)
        return hashlib.sha256(b"\n".join(own)).digest() if own else None

    def _described(self) -> Change:
        versions = self._installed_versions()
        others = [version for version in versions if version != self._version]
        now = others[0] if len(others) == 1 else self._version if versions == [self._version] else ""
        return Change(before=_plain(self._version), now=_plain(now), removed=not versions)

    def _installed_versions(self) -> list[str]:
        prefix, suffix = f"{_PACKAGE}-", ".dist-info"
        with suppress(OSError):  # the directory was removed, too
            names = os.listdir(self._site)  # noqa: PTH208  only the names are needed
            return [
                name.removeprefix(prefix).removesuffix(suffix)
                for name in names
                if name.startswith(prefix) and name.endswith(suffix) and (self._site / name / "RECORD").exists()
            ]
        return []


def _plain(version: str) -> str:
    return version if _DIGITS.fullmatch(version) else ""
