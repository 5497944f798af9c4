"""`scan`: look for stored values where they should not be."""

import os
import stat
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from claude_secrets.cli.common import existing_person
from claude_secrets.cli.output import hint, note, progress, say, say_json, table
from claude_secrets.errors import CallerError, Code
from claude_secrets.forms import SHORT
from claude_secrets.human.git import Object, Repository
from claude_secrets.inspection import every_value
from claude_secrets.leaks import as_utf8, leaks_in, leaks_in_names, redacted
from claude_secrets.paths import command, expanded, working_directory
from claude_secrets.project import grounds_of
from claude_secrets.redaction import Finder

FOUND: Final = 3
"""The exit code where a value was found."""

_PIECE: Final = 1 << 20
_Progress: TypeAlias = Callable[[int, int], None]


IN_NAME: Final = 0
"""The line of a value that stands in the very name of a file or a branch."""


class Place(NamedTuple):
    """Where a value stands, as it may be shown, and which secret's it is."""

    where: str
    line: int
    name: str


def add_arguments(parser: ArgumentParser) -> None:
    """Take the paths and what else is to be looked through."""
    parser.add_argument("path", metavar="PATH", nargs="*", help="files and directories (without any: this directory)")
    parser.add_argument("--git", action="store_true", help="everything in the history of the git repository here")
    parser.add_argument(
        "--staged", action="store_true", help="what the next commit would bring in (for a pre-commit hook)"
    )
    parser.add_argument("--transcripts", action="store_true", help="what Claude Code keeps of its sessions")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """Look for every stored value in every form, and tell where it is; 3 where there is one."""
    person = existing_person(options)
    values = every_value(person, "scan")
    kept = {path.resolve() for path in (person.store.path, *person.store.key_files())}
    person.store.close()
    long = {name: value for name, value in values.items() if len(value) >= SHORT}
    finder = Finder(long)
    found = []
    with progress("Looking") as tell:
        for part in _parts(options, kept):
            found += part(finder, tell)
    if len(long) < len(values):
        note(f"Not looked for: values of fewer than {SHORT} characters ({len(values) - len(long)}).")
    return _told(found, as_json=options.json)


_Part: TypeAlias = Callable[[Finder, _Progress], list[Place]]


def _parts(options: Namespace, kept: set[Path]) -> Iterator[_Part]:
    paths = [expanded(path) for path in options.path]
    for path in paths:
        if not path.exists():
            raise CallerError(Code.INVALID_ARGUMENTS, f"There is no {path}.")
        if not path.is_dir() and not path.is_file():
            raise CallerError(Code.INVALID_ARGUMENTS, f"{path} is neither a file nor a directory.")
    if options.transcripts:
        paths.append(_claude_code())
    if not paths and not options.git and not options.staged:
        paths = [working_directory()]
    if paths:
        yield lambda finder, tell: _in_files(finder, _files(paths, kept), tell)
    repository = Repository(working_directory(), os.environ, grounds_of(working_directory()))
    if options.staged:
        yield lambda finder, tell: _in_objects(finder, repository, repository.staged(), tell, history=False)
    if options.git:
        yield lambda finder, _: _in_names(finder, repository.references())
        yield lambda finder, tell: _in_objects(finder, repository, repository.objects(), tell, history=True)
        if repository.is_partial():
            note("This clone is shallow or partial: what it has not fetched was not looked through.")


def _claude_code() -> Path:
    path = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    if not path.is_dir():
        raise CallerError(Code.INVALID_ARGUMENTS, f"Claude Code has kept nothing in {path}.")
    return path


def _files(paths: Sequence[Path], kept: set[Path]) -> list[tuple[Path, int]]:
    """The plain files with their sizes; links are not followed, and the store and its keys are where values belong.

    Of git's own directories all but the objects, which are compressed: addresses in `.git/config` often hold tokens.
    """
    found: dict[Path, int] = {}
    closed = list[OSError]()
    for path in paths:
        if path.is_dir():
            for directory, names, files in os.walk(path, onerror=closed.append):
                if {"objects", "refs"}.issubset(names) and "HEAD" in files:
                    names.remove("objects")
                _take(found, [Path(directory, name) for name in files])
        else:
            _take(found, [path.resolve()])
    if closed:
        note(f"{len(closed)} directories could not be read.")
    beside = {one.with_name(one.name + end) for one in kept for end in ("", "-wal", "-shm")}
    return sorted((path, size) for path, size in found.items() if path.resolve() not in beside)


def _take(found: dict[Path, int], paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            status = path.lstat()
        except OSError:  # gone meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = status.st_size


def _in_files(finder: Finder, files: Sequence[tuple[Path, int]], tell: _Progress) -> list[Place]:
    total, done, unreadable = sum(size for _, size in files), 0, 0
    found = _in_names(finder, (str(path) for path, _ in files))
    for path, size in files:
        try:
            leaks = [*leaks_in(finder, as_utf8(_pieces(path)))]
            found += [Place(redacted(finder, str(path)), leak.line, leak.name) for leak in leaks]
        except OSError:
            unreadable += 1
        done += size
        tell(done, total)
    if unreadable:
        note(f"{unreadable} files could not be read.")
    return found


def _in_names(finder: Finder, names: Iterable[str]) -> list[Place]:
    places = (Place(redacted(finder, path), IN_NAME, name) for path, name in leaks_in_names(finder, names))
    return [*dict.fromkeys(places)]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _in_objects(
    finder: Finder, repository: Repository, objects: Sequence[Object], tell: _Progress, *, history: bool
) -> list[Place]:
    found: list[tuple[Object, int, str]] = []
    for number, (one, pieces) in enumerate(repository.contents(objects), start=1):
        found += [(one, leak.line, leak.name) for leak in leaks_in(finder, as_utf8(pieces))]
        tell(number, len(objects))
    commits = {one: repository.first_commit_with(one) for one, _, _ in found if history and one.path}
    places = _in_names(finder, (one.path for one in objects))
    for one, line, name in found:
        where = f"commit {commits[one]}" if commits.get(one) else "git object" if history else "staged"
        places.append(Place(f"{redacted(finder, one.path)} ({where})" if one.path else _number(one), line, name))
    return places


def _number(one: Object) -> str:
    """How a commit, a tag and what nothing reaches any more is called."""
    return f"git object {one.number[:12]}"


def _told(found: Sequence[Place], *, as_json: bool) -> int:
    if as_json:
        say_json([{"where": one.where, "line": one.line, "name": one.name} for one in found])
    elif found:
        rows = [(one.where + (f":{one.line}" if one.line else ", in its name"), one.name) for one in found]
        table([("WHERE", "SECRET"), *rows])
    else:
        say("No stored value was found.")
    if not found:
        return 0
    names = sorted({one.name for one in found})
    hint(f"to be replaced where they are used, and here: {', '.join(names)}")
    hint(f"to store a new value: {command()} set NAME; what stands in a history or a transcript stays there")
    return FOUND
