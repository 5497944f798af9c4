"""Change files of other programs, and keep what is needed to undo each change.

Always: a file is replaced as a whole, and only if it has not changed since it was read. Before the first change of a
file, a private copy of the file is kept. A failed change leaves the file as it was.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.atomic_file import make_private, write_new
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.plain_file import PlainFile, is_replaceable, read_plain_file, replace_unchanged
from claude_secrets.small_file import read_file

SIZE_LIMIT: Final = 16 << 20
"""The most bytes of a configuration file. Claude Code's own file grows to several megabytes."""

_RECORD: Final = ".json"
_COPY: Final = ".copy"


class FoundFile(NamedTuple):
    """A file of another program when it was read. `file` is None if there is no file at `path`."""

    path: Path
    file: PlainFile | None

    @property
    def data(self) -> bytes | None:
        """The content, or None if there is no file."""
        return None if self.file is None else self.file.data


class ChangedFile(NamedTuple):
    """A file that was changed for a client: its content before the first change, and a digest of what was written.

    `original` is None if there was no file. `directories` were made for the file.
    """

    client: str
    path: Path
    original: bytes | None
    written: str
    directories: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"ChangedFile({self.client!r}, {str(self.path)!r})"

    def is_as_written(self, data: bytes | None) -> bool:
        """Return whether `data`, the current content, is what was written last."""
        return data is not None and _digest(data) == self.written


def find_file(path: Path) -> FoundFile:
    """Read the file at `path`, following links.

    Raises:
        CallerError: INVALID_ARGUMENTS if the path leads to something that is not a plain file, to nothing through a
            link, or to a file that is too large or cannot be read.
    """
    try:
        there = os.path.lexists(path)
    except (OSError, ValueError):
        there = True
    if not there:
        return FoundFile(path, None)
    try:
        return FoundFile(path, read_plain_file(path, limit=SIZE_LIMIT))
    except CallerError as error:
        raise CallerError(error.code, f"{path}: {error.message}", error.hint) from None


def refuse_unwritable(found: FoundFile) -> None:
    """Check that the file can be changed.

    Raises:
        CallerError: INVALID_ARGUMENTS if the file is read-only, or belongs to somebody else.
    """
    file = found.file
    if file is None:
        return
    if not file.status.st_mode & stat.S_IWUSR:
        why = "The file is read-only. Another program may manage it."
    elif not is_replaceable(file):
        why = "The file, its group or its directory is not yours."
    else:
        return
    raise CallerError(Code.INVALID_ARGUMENTS, f"{found.path}: {why} Nothing was changed.")


class ChangedFiles:
    """The records of all changed files. `directory` contains the records and the copies, and is private."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __iter__(self) -> Iterator[ChangedFile]:
        """Iterate over the changed files, in the order of their paths. Records that cannot be read are left out."""
        try:
            names = sorted(os.listdir(self._directory))  # noqa: PTH208  only the names are needed
        except OSError:  # nothing was changed yet
            names = []
        found = [self._read(self._directory / name) for name in names if name.endswith(_RECORD)]
        return iter(sorted((one for one in found if one is not None), key=lambda one: one.path))

    def find(self, path: Path) -> ChangedFile | None:
        """Return the record of the file at `path`, or None if the file was not changed."""
        return self._read(self._place(path, _RECORD))

    def write(self, client: str, found: FoundFile, data: bytes, *, original: bytes | None) -> None:
        """Write `data` into a file. `original` is the content to which an undo returns; None means no file.

        Raises:
            SecretsError: the file or its copy cannot be written, or the file has changed since it was read.
        """
        earlier = self.find(found.path)
        made = () if earlier is None else earlier.directories
        try:
            make_private(self._directory)
            made = (*made, *_missing(found.path.parent))
            self._keep(ChangedFile(client, found.path, original, _digest(data), made))
        except OSError:
            problem = f"No copy of {found.path} can be made in {self._directory}, so the file was not changed."
            raise SecretsError(Code.INVALID_ARGUMENTS, problem) from None
        done = False
        try:
            _write(found, data)
            done = True
        finally:
            if not done:
                self._keep(earlier) if earlier is not None else self.forget(found.path)

    def undo(self, found: FoundFile, data: bytes | None) -> None:
        """Write `data`, the content without the changes, and forget the record. None removes the file.

        Raises:
            SecretsError: the file cannot be written, or has changed since it was read.
        """
        record = self.find(found.path)
        if data is not None:
            if data != found.data:
                _write(found, data)
        elif found.file is not None:
            _remove(found.file)
        for directory in reversed(() if record is None else record.directories):
            with suppress(OSError):  # other files are in the directory
                directory.rmdir()
        self.forget(found.path)

    def note_made(self, client: str, path: Path, data: bytes, directories: tuple[Path, ...] = ()) -> None:
        """Record a file that was made elsewhere with the content `data`.

        Raises:
            SecretsError: the record cannot be written.
        """
        try:
            make_private(self._directory)
            self._keep(ChangedFile(client, path, None, _digest(data), directories))
        except OSError:
            problem = f"{path} was made, but no record of it can be written in {self._directory}."
            raise SecretsError(Code.INVALID_ARGUMENTS, problem) from None

    def forget(self, path: Path) -> None:
        """Remove the record and the copy of a file. Raises `SecretsError` if they cannot be removed."""
        try:
            for ending in (_RECORD, _COPY):
                self._place(path, ending).unlink(missing_ok=True)
        except OSError:
            problem = f"The record and the copy of {path} in {self._directory} cannot be removed."
            raise SecretsError(Code.INVALID_ARGUMENTS, problem) from None
        with suppress(OSError):  # other records are in it
            self._directory.rmdir()

    def _place(self, path: Path, ending: str) -> Path:
        same = os.fsencode(os.path.normcase(path))  # Windows ignores the case of paths
        return self._directory / f"{_digest(same)[:24]}{ending}"

    def _keep(self, changed: ChangedFile) -> None:
        if changed.original is not None:
            _put(self._place(changed.path, _COPY), changed.original)
        record = {
            "client": changed.client,
            "path": str(changed.path),
            "copied": changed.original is not None,
            "written": changed.written,
            "directories": [str(directory) for directory in changed.directories],
        }
        _put(self._place(changed.path, _RECORD), json.dumps(record, indent=2).encode("ascii"))

    def _read(self, place: Path) -> ChangedFile | None:
        try:
            record = json.loads(_content(place))
            original = _content(place.with_suffix(_COPY)) if record["copied"] else None
            path, directories = Path(record["path"]), tuple(Path(one) for one in record["directories"])
            found = ChangedFile(str(record["client"]), path, original, str(record["written"]), directories)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # absent, or changed by somebody
            return None
        above = set(path.parents)
        is_ours = path.is_absolute() and place == self._place(path, _RECORD) and above.issuperset(directories)
        return found if is_ours else None


def _content(place: Path) -> bytes:
    """Return the content of a record or copy. Raises `OSError` for a link, for a pipe and for a file that is absent."""
    data = read_file(place, limit=SIZE_LIMIT).data
    if len(data) > SIZE_LIMIT:
        raise OSError
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _put(place: Path, data: bytes) -> None:
    draft = place.with_name(f".{os.urandom(8).hex()}")
    write_new(draft, data)
    try:
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)  # the draft is still there if another program has the old file open (Windows)


def _missing(directory: Path) -> tuple[Path, ...]:
    """Return the directories that must be made for `directory` to exist, the outermost first."""
    return tuple(one for one in reversed((directory, *directory.parents)) if not os.path.lexists(one))


def _write(found: FoundFile, data: bytes) -> None:
    if found.file is not None:
        replace_unchanged(found.file, data)
        return
    try:
        make_private(found.path.parent)
        made = write_new(found.path, data)
    except OSError:
        raise SecretsError(Code.INVALID_ARGUMENTS, f"{found.path} cannot be made. Nothing was changed.") from None
    if not made:
        raise SecretsError(Code.INVALID_ARGUMENTS, f"{found.path} has just appeared, so it was not changed.")


def _remove(file: PlainFile) -> None:
    try:
        if file.path.read_bytes() != file.data:
            raise SecretsError(Code.INVALID_ARGUMENTS, f"{file.path} has changed, so it was not removed.")
        file.path.unlink()
    except OSError:
        raise SecretsError(Code.INVALID_ARGUMENTS, f"{file.path} cannot be removed.") from None
