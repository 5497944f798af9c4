"""Plan the changes of a client's files: register the server and the hooks, remove them, or undo both.

Always: a plan changes nothing. `Step.carry_out` makes one planned change.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from claude_secrets.clients import entries, hooks
from claude_secrets.clients.changed_files import ChangedFile, ChangedFiles, FoundFile, find_file, refuse_unwritable
from claude_secrets.clients.differences import differences
from claude_secrets.clients.known import Account, Client
from claude_secrets.clients.program import Program
from claude_secrets.clients.text import UnreadableFileError
from claude_secrets.errors import CallerError, Code

SERVER = "server"
HOOKS = "hooks"
MADE = "allowlist"

_MADE_FILE = (".claude", "secrets.yml")
"""The end of the path of a file that is made for a client. No record removes another file."""


class Step(NamedTuple):
    """A planned change of one file of a client. `what` is `SERVER`, `HOOKS` or `MADE`.

    `after` is the new content, or None if the file will be removed. `original` is the content to which an undo returns;
    None means no file. `forgets` is whether the change ends the record of the file. `is_new` is whether the file had no
    entry or hook of ours. `shown` are the texts that the change itself brings.
    """

    client: Client
    what: str
    found: FoundFile
    after: bytes | None
    original: bytes | None = None
    forgets: bool = False
    is_new: bool = False
    shown: frozenset[str] = frozenset()

    @property
    def changes(self) -> bool:
        """Whether the file will be different."""
        return self.after != self.found.data

    def differences(self) -> Iterator[str]:
        """Yield the lines of a diff that shows no texts of other servers."""
        return differences(self.found.path, self.found.data, self.after, self.shown)

    def carry_out(self, files: ChangedFiles) -> None:
        """Make the change. Raises `SecretsError` if the file cannot be written or has changed since it was read."""
        if self.forgets:
            files.undo(self.found, self.after)
        elif self.changes and self.after is not None:
            files.write(self.client.id, self.found, self.after, original=self.original)


class _Part(NamedTuple):
    """The server's entry or the hooks in one file of a client, with the functions that edit the file's content."""

    what: str
    path: Path
    is_there: Callable[[bytes | None], bool]
    add: Callable[[bytes | None], bytes]
    remove: Callable[[bytes], bytes]
    as_before: Callable[[bytes, bytes | None], bytes]


class Planner:
    """Plans changes for the clients of one person. `files` are the records of earlier changes."""

    def __init__(self, account: Account, files: ChangedFiles, program: Program) -> None:
        self._account = account
        self._files = files
        self._program = program

    def install(self, client: Client, project: str | None, *, with_hooks: bool) -> list[Step]:
        """Plan to register the server, and with `with_hooks` also the hooks.

        Raises:
            CallerError: INVALID_ARGUMENTS if a file cannot be read, understood or written.
        """
        steps = []
        for part in self._parts(client, project):
            if part.what == SERVER or with_hooks:
                found, record = self._read(part.path)
                with _naming(part.path):
                    after = part.add(found.data)
                    original = found.data if record is None else _original(part, found.data, record)
                    is_new = not part.is_there(found.data)
                shown = self._shown(client, project)
                steps.append(Step(client, part.what, found, after, original, is_new=is_new, shown=shown))
        return _writable(steps)

    def remove(self, client: Client) -> list[Step]:
        """Plan to remove the server and the hooks. Raises `CallerError` as `install` does."""
        steps = []
        for part in self._parts(client, None, earlier=True):
            found, record = self._read(part.path)
            with _naming(part.path):
                base = found.data if record is None else _original(part, found.data, record)
                after = part.remove(base) if base is not None and part.is_there(base) else base
            if record is not None or after != found.data:
                steps.append(Step(client, part.what, found, after, forgets=True, shown=self._shown(client, None)))
        return _writable([*steps, *self._made(client)])

    def undo(self, client: Client) -> list[Step]:
        """Plan to return to the files as they were before the first change. Raises `CallerError` as `install` does."""
        steps = []
        for part in self._parts(client, None, earlier=True):
            found, record = self._read(part.path)
            if record is not None:
                with _naming(part.path):
                    after = _original(part, found.data, record)
                steps.append(Step(client, part.what, found, after, forgets=True, shown=self._shown(client, None)))
        return _writable([*steps, *self._made(client)])

    def _made(self, client: Client) -> Iterator[Step]:
        """Plan to remove the other files that were made for the client, unless somebody has changed them since."""
        parts = {part.path for part in self._parts(client, None)}
        for record in self._files:
            is_made = record.original is None and record.path.parts[-2:] == _MADE_FILE
            if record.client == client.id and record.path not in parts and is_made:
                found = find_file(record.path)
                after = None if record.is_as_written(found.data) else found.data
                yield Step(client, MADE, found, after, forgets=True)

    def _parts(self, client: Client, project: str | None, *, earlier: bool = False) -> Iterator[_Part]:
        """Yield the client's parts. With `earlier`, also those in files that the client used when they were changed."""
        file, settings = client.file(self._account), hooks.settings_file(client, self._account)
        yield self._server(client, file, project)
        if settings is not None:
            yield self._hooks(settings)
        for record in self._files if earlier else ():
            if record.client == client.id and record.path not in (file, settings):
                if record.path.name == file.name:
                    yield self._server(client, record.path, project)
                elif settings is not None and record.path.name == settings.name:
                    yield self._hooks(record.path)

    def _server(self, client: Client, file: Path, project: str | None) -> _Part:
        return _Part(
            SERVER,
            file,
            lambda data: bool(entries.find_entries(client, data)),
            lambda data: entries.with_entry(client, data, self._program, project),
            partial(entries.without_entry, client),
            partial(entries.as_before, client),
        )

    def _hooks(self, settings: Path) -> _Part:
        return _Part(
            HOOKS,
            settings,
            lambda data: bool(hooks.find_events(data)),
            lambda data: hooks.with_hooks(data, self._program),
            hooks.without_hooks,
            lambda data, original: data if hooks.find_events(original) else hooks.without_hooks(data),
        )

    def _read(self, path: Path) -> tuple[FoundFile, ChangedFile | None]:
        return find_file(path), self._files.find(path)

    def _shown(self, client: Client, project: str | None) -> frozenset[str]:
        program = self._program
        entry = client.entry(program.command, program.arguments, program.environment)
        return frozenset((*_texts(entry), *hooks.commands(program), "--project", project or "", "command"))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in an entry."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _original(part: _Part, data: bytes | None, record: ChangedFile) -> bytes | None:
    """Return the content without our changes: the kept copy, or the current content if it has changed since then."""
    if data is None:  # the file was removed, for example with the client
        return None
    if record.is_as_written(data):
        return record.original
    after = part.as_before(data, record.original)
    return None if record.original is None and not after.strip() else after


def _writable(steps: list[Step]) -> list[Step]:
    for step in steps:
        if step.changes:
            refuse_unwritable(step.found)
    return steps


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn an error in a file's content into one that names the file."""
    try:
        yield
    except UnreadableFileError as error:
        problem = f"{path} cannot be changed: {error.message}"
        hint = "Correct the file, or add the entry by hand. Nothing was changed."
        raise CallerError(Code.INVALID_ARGUMENTS, problem, hint) from None
