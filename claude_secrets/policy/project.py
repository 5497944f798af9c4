"""Which project a call belongs to.

Always: paths are compared resolved and by components; git is never run, its files are read; places that contradict each
other are refused.
"""

import os
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import command, command_words
from claude_secrets.policy.work_trees import main_work_tree

_FILE: Final = str(Path(".claude", "secrets.yml"))


class CallOrigin(NamedTuple):
    """What a face knows about where a call comes from.

    `argument` is `--project`, `environment` CLAUDE_PROJECT_DIR, `root` the client's first root; `bound`: the working
    directory is the agent's own, and has to lead to the project by itself.
    """

    argument: Path | None
    environment: Path | None
    root: Path | None
    working_directory: Path
    bound: bool = False


class Project(NamedTuple):
    """A directory with an allowlist.

    `path` is its real path, and `identity` is that path as text. For a linked git work tree `main` is the identity of
    the corresponding directory in the main work tree. Files say so, and who writes them may lie: it takes the person's
    grant for the project to count as that one (`with_identity`), and then `identity` is `main`.
    """

    path: Path
    identity: str
    work_tree: Path | None
    main: str | None = None

    @property
    def own_identity(self) -> str:
        """What it is known by without any grant."""
        return str(self.path)

    @property
    def identities(self) -> tuple[str, ...]:
        """All that it is known by: what one of them stored or was granted is the project's own."""
        return tuple(dict.fromkeys((self.identity, self.own_identity)))

    @property
    def unjoined(self) -> str | None:
        """The main work tree's identity where the project does not count as that one."""
        return None if self.main == self.identity else self.main

    def with_identity(self, joins: Callable[[str, str], bool]) -> "Project":
        """The project with the identity by which it counts.

        `joins` says whether the person has let one identity count as the other; whatever the files on the disk say,
        only that makes a linked work tree count as the main one.
        """
        if self.unjoined is None or not joins(self.own_identity, self.unjoined):
            return self
        return self._replace(identity=self.unjoined)


class NamedDirectory(NamedTuple):
    """A directory somebody named: the project found from it, and the git work tree it is in."""

    directory: Path
    project: Path | None
    work_tree: Path | None


def locate(where: CallOrigin, *, homes: frozenset[Path]) -> Project:
    """Find the project: `--project`, else CLAUDE_PROJECT_DIR, else the client's root, else the working directory.

    The last three are searched upward inside their git work tree (without one: below the home directory).

    Raises:
        DeniedError: NO_PROJECT (none was found), NO_ALLOWLIST (the one named has no file), PROJECT_CONFLICT.
    """
    if where.argument is not None:
        named_here = place_at(where.argument, homes)
        if not _has_file(named_here.directory):
            raise _no_allowlist(where.argument)
        return _project(named_here.directory, named_here.work_tree)
    # Mostly all of them are one directory: looked at once.
    places = {path: place_at(path, homes) for path in {where.environment, where.root, where.working_directory} if path}
    named = [places[path] for path in (where.environment, where.root) if path]
    here = places[where.working_directory]
    chosen = here if where.bound or not named else named[0]
    if chosen.project is None:
        if named and not where.bound:
            raise _no_allowlist(chosen.directory)
        raise _no_project(where)
    own = project = _project(chosen.project, chosen.work_tree)
    for place in named:
        project = _agreed(project, place, place.work_tree or place.directory)
    project = _agreed(project, here, here.work_tree)
    return own if where.bound else project


def _agreed(project: Project, place: NamedDirectory, anchor: Path | None) -> Project:
    """The project that another place agrees on; `anchor` is the directory that it speaks for if it has no project.

    A linked work tree agrees with its main one. The project is the linked one then, which may do less.

    Raises:
        DeniedError: PROJECT_CONFLICT where the place names another project, or lies where this project is not.
    """
    if place.project == project.path:
        return project
    if place.project is not None:
        other = _project(place.project, place.work_tree)
        if other.own_identity == project.main:
            return project
        if other.main == project.own_identity:
            return other
    elif anchor is None or _reaches(anchor, project.path):
        return project
    raise _conflict()


def _reaches(anchor: Path, project: Path) -> bool:
    """Whether a project lies in a directory, or in the main work tree of that one."""
    main = None if project.is_relative_to(anchor) else main_work_tree(anchor)
    return project.is_relative_to(main or anchor)


def _conflict() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "The client, its environment and the working directory name different projects.",
        "The person can name the project in the server's own arguments: --project DIR",
    )


def place_at(path: Path, homes: frozenset[Path]) -> NamedDirectory:
    """What is found from a directory. Raises `DeniedError` NO_PROJECT where the path leads nowhere."""
    directory, upward = _upward(real_path(path), homes)
    project = work_tree = None
    for candidate, file, git in upward:
        if project is None and os.path.lexists(file):
            project = candidate
        if os.path.lexists(git):
            work_tree = candidate
            break
    if work_tree is None and project != directory and homes.isdisjoint(directory.parents):
        project = None  # neither a work tree nor a home says how far up this place reaches
    return NamedDirectory(directory, project, work_tree)


@lru_cache
def _upward(real: str, homes: frozenset[Path]) -> tuple[Path, tuple[tuple[Path, str, str], ...]]:
    """A directory; and it and those above it, below all homes, with the paths to look at: at every call the same."""
    directory = Path(real)
    below = takewhile(lambda candidate: candidate not in too_high(homes), (directory, *directory.parents))
    return directory, tuple((one, str(one / _FILE), str(one / ".git")) for one in below)


@cache
def too_high(homes: frozenset[Path]) -> frozenset[Path]:
    """The homes and what is above them: no project is found there, and git work trees there do not count."""
    return frozenset(directory for home in homes for directory in (home, *home.parents))


def _project(path: Path, work_tree: Path | None) -> Project:
    main = None if work_tree is None else main_work_tree(work_tree)
    in_main = None if work_tree is None or main is None else str(main / path.relative_to(work_tree))
    return Project(path, str(path), work_tree, in_main)


def _has_file(directory: Path) -> bool:
    """Whether an allowlist stands there, be it a link that will be refused; False where one cannot look."""
    return os.path.lexists(os.path.join(directory, _FILE))  # noqa: PTH118  at every call: joining text is quicker


def real_path(path: Path) -> str:
    """Where a path leads, whether or not something is there. Raises `DeniedError` NO_PROJECT where it leads nowhere."""
    try:
        return os.path.realpath(path)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL in a name
        raise DeniedError(Code.NO_PROJECT, "A directory that was named cannot be found.") from None


def _no_allowlist(directory: Path) -> DeniedError:
    return DeniedError(
        Code.NO_ALLOWLIST,
        f"{directory} has no .claude/secrets.yml, so agents may use nothing there.",
        f"The person can make one, in that directory: {command()} init",
    )


def _no_project(where: CallOrigin) -> DeniedError:
    import json

    program, *arguments = command_words()
    server = {"command": program, "args": [*arguments, "--project", "/path/to/project"]}
    example = json.dumps({"mcpServers": {"secrets": server}})
    return DeniedError(
        Code.NO_PROJECT,
        "No project was found, so nothing is allowed. Looked for --project, CLAUDE_PROJECT_DIR, the client's roots, "
        f"and .claude/secrets.yml in {where.working_directory} and above it.",
        f"The person can name the project in the client's configuration: {example} "
        f"(and make its allowlist there: {command()} init)",
    )
