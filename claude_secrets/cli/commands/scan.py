"""`scan`: look for stored values in files, git history and transcripts, where they should not be."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.asking import is_at_terminal
from claude_secrets.cli.opening import existing_person, invocation_of
from claude_secrets.cli.output import counted, note, progress
from claude_secrets.cli.scan_files import Files, Skips, in_files
from claude_secrets.cli.scan_git import GitScan
from claude_secrets.cli.scan_outcome import ScannedPlace, Unseen, outcome, tell, told_at
from claude_secrets.errors import CallerError, Code
from claude_secrets.exec.git import Repository
from claude_secrets.paths import command, expanded, home, working_directory
from claude_secrets.person.inspection import every_value
from claude_secrets.policy.planted import grounds_of
from claude_secrets.redaction.contents import look_through, pieces_of
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.forms import SHORT
from claude_secrets.true_names import true_path

_INPUT: Final = "-"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the paths, and the options for other places to search, to the parser."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="*",
        help="files and directories, or - for standard input (by default, the current directory)",
    )
    parser.add_argument("--git", action="store_true", help="search the whole history of the git repository here")
    parser.add_argument(
        "--staged", action="store_true", help="search everything that the next commit would add (for a pre-commit hook)"
    )
    parser.add_argument(
        "--transcripts", action="store_true", help="search Claude Code's directory, with its session transcripts"
    )
    parser.add_argument(
        "--skip",
        metavar="GLOB",
        action="append",
        default=[],
        help="skip files and directories whose name, or path below the scanned directory, matches GLOB; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


class _Asked(NamedTuple):
    """The places to search. `reads_input`: standard input is one of them."""

    paths: Sequence[str]
    reads_input: bool
    git: bool
    staged: bool
    transcripts: bool
    skips: Skips


def run(options: Namespace) -> int:
    """Search for every stored value in every form. Report where a value was found, and what could not be searched."""
    asked = _Asked(
        paths=[path for path in options.path if path != _INPUT],
        reads_input=_INPUT in options.path,
        git=options.git,
        staged=options.staged,
        transcripts=options.transcripts,
        skips=Skips(options.skip),
    )
    repository = _repository() if asked.git or asked.staged else None
    if asked.reads_input:
        _require_input(options.passphrase_fd)
    person = existing_person(invocation_of(options))
    values = every_value(person, "scan")
    kept = {path.resolve() for path in (person.store.path, *person.store.key_files())}
    person.store.close()
    files = _files(asked, Files(kept, asked.skips))
    long = {name: value for name, value in values.items() if len(value) >= SHORT}
    with progress("Looking") as progressed:
        result = outcome([*_look(asked, Finder(long), files, repository, progressed)])
    if files.links:
        note(f"Not followed: {counted(files.links, 'link')}.")
    _note_histories(files, repository if asked.git else None)
    short = len(values) - len(long)
    if short:
        note(f"Not looked for: {counted(short, 'stored value')} of fewer than {SHORT} characters.")
    what = f"stored value of {SHORT} characters or more" if short else "stored value"
    return tell(result, what, as_json=options.json)


def _look(
    asked: _Asked,
    finder: Finder,
    files: Files,
    repository: Repository | None,
    progressed: Callable[[int, int], None],
) -> Iterator[ScannedPlace | Unseen]:
    skipped = files.skipped
    if asked.reads_input:
        yield from told_at(finder, look_through(finder, pieces_of(sys.stdin.buffer)), _INPUT)
    yield from in_files(finder, files, progressed)
    if repository is not None:
        scan = GitScan(finder, repository, asked.skips, progressed)
        if asked.staged:
            yield from scan.staged()
        if asked.git:
            yield from scan.history()
        skipped += scan.skipped
    if asked.skips.globs:
        note(f"Left out by --skip: {skipped} path{'s' * (skipped != 1)}.")


def _repository() -> Repository:
    here = working_directory()
    repository = Repository(here, os.environ, grounds_of(here))
    repository.require()
    return repository


def _require_input(passphrase_fd: int | None) -> None:
    """Raise `CallerError` INVALID_ARGUMENTS if standard input cannot be searched."""
    if sys.stdin is None:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no standard input.")
    if is_at_terminal():
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "Standard input is a terminal, so there is nothing to search.",
            f"PROGRAM | {command()} scan -",
        )
    if passphrase_fd == 0:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "Standard input cannot provide both the passphrase and the content to search.",
            "Pass the passphrase through another file descriptor, such as --passphrase-fd 3. On Windows, which has "
            "only descriptor 0, put the content into a file and scan the file.",
        )


def _files(asked: _Asked, files: Files) -> Files:
    paths = [expanded(path) for path in asked.paths]
    if asked.transcripts:
        paths.append(_claude_code())
    if not (paths or asked.git or asked.staged or asked.reads_input):
        paths = [working_directory()]
    for path in paths:
        files.add(path)
    return files


def _claude_code() -> Path:
    path = Path(os.environ.get("CLAUDE_CONFIG_DIR") or home() / ".claude")
    if not path.is_dir():
        raise CallerError(Code.INVALID_ARGUMENTS, f"Claude Code's directory does not exist: {path}.")
    return path


def _note_histories(files: Files, repository: Repository | None) -> None:
    """Say which repositories' histories were not searched. `repository` is the only one whose history was searched."""
    left = files.histories
    if repository is not None:
        looked_through = repository.directory()
        left = [path for path in left if path.is_dir() and Path(true_path(path)) != looked_through]
    if left:
        of = f"the git repository {left[0].parent}" if len(left) == 1 else f"{len(left)} git repositories"
        note(f"Not looked through: the history of {of}.")
        note(f"To look through a repository's history, run in that repository: {command()} scan --git")
