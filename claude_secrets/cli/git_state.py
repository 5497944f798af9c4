"""Say what git would do with a project's .env files and its allowlist, if that may be a mistake.

Always: the repository's own programs and hooks never run, and git is not taken from the project. A repository around
the home directory is not asked.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from claude_secrets.errors import CallerError
from claude_secrets.exec.git import Repository
from claude_secrets.policy.planted import grounds_of


class GitState(NamedTuple):
    """The files that git tracks, those that it neither tracks nor ignores, and whether it ignores the allowlist."""

    tracked: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    ignores_allowlist: bool = False


def git_state(directory: Path, files: Iterable[Path], environment: Mapping[str, str] = os.environ) -> GitState:
    """Return what git does with the allowlist of `directory` and with `files` that hold values.

    If there is no git, or git cannot read the repository, the result is empty.
    """
    repository = Repository(directory, environment, grounds_of(directory))
    try:
        repository.require()
        tracked = tuple(file.name for file in files if repository.tracks(file))
        loose = tuple(file.name for file in files if file.name not in tracked and not repository.ignores(file))
        return GitState(tracked, loose, repository.ignores(directory / ".claude" / "secrets.yml"))
    except CallerError:  # there is no git, it cannot read the repository, or it did not answer
        return GitState()
