"""Find the project that a call belongs to.

Always: paths are compared by components, after links are resolved. Git's files are read, but git is never run.
Directories that lead to different projects are refused.
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
    """The directories that a caller knows for a call.

    `argument` is `--project`, `environment` is CLAUDE_PROJECT_DIR, and `root` is the client's first root. `bound`: the
    working directory is the agent's own, so the project is found from it and the others must agree.
    """

    argument: Path | None
    environment: Path | None
    root: Path | None
    working_directory: Path
    bound: bool = False


class Project(NamedTuple):
    """A directory with an allowlist.

    `path` is its real path, and `identity` is that path as text. For a linked git work tree `main` is the identity of
    the corresponding directory in the main work tree. Git's files say which it is, and an agent can forge them. So the
    project counts as the main one only with the person's grant (`with_identity`); `identity` is then `main`.
    """

    path: Path
    identity: str
    work_tree: Path | None
    main: str | None = None

    @property
    def own_identity(self) -> str:
        """The project's identity without any grant."""
        return str(self.path)

    @property
    def identities(self) -> tuple[str, ...]:
        """All identities of the project. Secrets stored by one of them, and its grants, are the project's own."""
        return tuple(dict.fromkeys((self.identity, self.own_identity)))

    @property
    def unjoined(self) -> str | None:
        """The main work tree's identity if the project does not count as it; else None."""
        return None if self.main == self.identity else self.main

    def with_identity(self, joins: Callable[[str, str], bool]) -> "Project":
        """Return the project with the identity that counts.

        `joins` says whether the person has let the first identity count as the second. Files on the disk are not
        enough: a linked work tree counts as the main one only if `joins` agrees.
        """
        if self.unjoined is None or not joins(self.own_identity, self.unjoined):
            return self
        return self._replace(identity=self.unjoined)


class NamedDirectory(NamedTuple):
    """A directory that a call names, the project found from it, and the git work tree around it."""

    directory: Path
    project: Path | None
    work_tree: Path | None


def locate(where: CallOrigin, *, homes: frozenset[Path]) -> Project:
    """Find the project: `--project`, else CLAUDE_PROJECT_DIR, else the client's root, else the working directory.

    `--project` must be the project's own directory. The search from the others goes upward inside their git work tree,
    or below the home directory if there is none.

    Raises:
        DeniedError: NO_PROJECT (none was found), NO_ALLOWLIST (the named one has no allowlist), PROJECT_CONFLICT.
    """
    if where.argument is not None:
        named_here = place_at(where.argument, homes)
        if not _has_file(named_here.directory):
            raise _no_allowlist(where.argument)
        return _project(named_here.directory, named_here.work_tree)
    # They are usually one directory, so each different one is looked at only once.
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
    """Return the project that another place agrees on. If the place has no project, the project must be in `anchor`.

    A linked work tree agrees with its main one. The result is then the linked one, which may do less.

    Raises:
        DeniedError: PROJECT_CONFLICT if the place has another project, or this project is not in `anchor`.
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
    """Whether a project is inside a directory, or inside the main work tree of that directory."""
    main = None if project.is_relative_to(anchor) else main_work_tree(anchor)
    return project.is_relative_to(main or anchor)


def _conflict() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "The client, its environment and the working directory name different projects.",
        "The person can name the project in the server's own arguments: --project DIR",
    )


def place_at(path: Path, homes: frozenset[Path]) -> NamedDirectory:
    """Return the project and work tree of a directory. Raises `DeniedError` NO_PROJECT if the path leads nowhere."""
    directory, upward = _upward(real_path(path), homes)
    project = work_tree = None
    for candidate, file, git in upward:
        if project is None and os.path.lexists(file):
            project = candidate
        if os.path.lexists(git):
            work_tree = candidate
            break
    if work_tree is None and project != directory and homes.isdisjoint(directory.parents):
        project = None  # neither a work tree nor a home limits the search upward
    return NamedDirectory(directory, project, work_tree)


@lru_cache
def _upward(real: str, homes: frozenset[Path]) -> tuple[Path, tuple[tuple[Path, str, str], ...]]:
    """Return the directory, and each directory to search with the paths of its allowlist and `.git`.

    They are the directory and those above it, except homes and the directories above a home.
    """
    directory = Path(real)
    below = takewhile(lambda candidate: candidate not in too_high(homes), (directory, *directory.parents))
    return directory, tuple((one, str(one / _FILE), str(one / ".git")) for one in below)


@cache
def too_high(homes: frozenset[Path]) -> frozenset[Path]:
    """Return the homes and the directories above them: no project is found there, and git work trees do not count."""
    return frozenset(directory for home in homes for directory in (home, *home.parents))


def _project(path: Path, work_tree: Path | None) -> Project:
    main = None if work_tree is None else main_work_tree(work_tree)
    in_main = None if work_tree is None or main is None else str(main / path.relative_to(work_tree))
    return Project(path, str(path), work_tree, in_main)


def _has_file(directory: Path) -> bool:
    """Whether the directory has an allowlist, even a link, which is refused later; False if it cannot be searched."""
    return os.path.lexists(os.path.join(directory, _FILE))  # noqa: PTH118  runs at every call, joining text is faster


def real_path(path: Path) -> str:
    """Resolve a path, which need not exist. Raises `DeniedError` NO_PROJECT if it cannot be resolved."""
    try:
        return os.path.realpath(path)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL in a name
        raise DeniedError(Code.NO_PROJECT, "A given directory cannot be found.") from None


def _no_allowlist(directory: Path) -> DeniedError:
    return DeniedError(
        Code.NO_ALLOWLIST,
        f"{directory} has no .claude/secrets.yml, so agents may use nothing there.",
        f"The person can create one in that directory: {command()} init",
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
        f"(and create its allowlist there: {command()} init)",
    )
