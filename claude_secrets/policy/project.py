"""Find the project that a call belongs to.

Always: links are resolved and names get their true spelling before paths are compared, and paths are compared by
components. Git's files are read, but git is never run. A call is refused if its directories lead to different projects.
"""

import os
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import command, in_own_terminal
from claude_secrets.policy.work_trees import main_work_tree
from claude_secrets.true_names import is_one_directory, true_path

_FILE: Final = str(Path(".claude", "secrets.yml"))


class CallOrigin(NamedTuple):
    """The directories from which a call's project can be found.

    `argument` is the value of `--project`, `environment` is the value of CLAUDE_PROJECT_DIR, and `root` is the client's
    first root. `bound` is true if the working directory is the agent's own. The project is then found from the working
    directory, and the other directories must agree with it.
    """

    argument: Path | None
    environment: Path | None
    root: Path | None
    working_directory: Path
    bound: bool = False


class Project(NamedTuple):
    """A directory with an allowlist.

    `path` is the directory's true name (`true_names`), and `identity` is this path as text. In a linked git work tree,
    `main` is the identity of the corresponding directory in the main work tree. `main` comes from git's files, and an
    agent can forge these files. The project therefore gets `main` as its `identity` only with the person's grant
    (`with_identity`).
    """

    path: Path
    identity: str
    work_tree: Path | None
    main: str | None = None

    @property
    def own_identity(self) -> str:
        """The identity that the project has without a grant."""
        return str(self.path)

    @property
    def identities(self) -> tuple[str, ...]:
        """All identities of the project. Secrets and grants of each identity belong to the project."""
        return tuple(dict.fromkeys((self.identity, self.own_identity)))

    @property
    def unjoined(self) -> str | None:
        """`main` if the project does not use it as its `identity`, else None."""
        return None if self.main == self.identity else self.main

    def with_identity(self, joins: Callable[[str, str], bool]) -> "Project":
        """Return the project, with `main` as its identity if the person has granted this.

        `joins` returns whether the person has allowed the first identity to count as the second. Without this grant, a
        linked work tree does not count as its main work tree, whatever git's files say.
        """
        if self.unjoined is None or not joins(self.own_identity, self.unjoined):
            return self
        return self._replace(identity=self.unjoined)


class NamedDirectory(NamedTuple):
    """A directory that a call names, the project found from it, and the git work tree that contains it."""

    directory: Path
    project: Path | None
    work_tree: Path | None


def locate(where: CallOrigin, *, homes: frozenset[Path]) -> Project:
    """Find the project from `--project`, else CLAUDE_PROJECT_DIR, else the client's root, else the working directory.

    `--project` must be the project's own directory. From any other directory, the search goes upward to the top of its
    git work tree. If the directory is not in a work tree, the search goes upward and stops below the home directory.

    Raises:
        DeniedError: NO_PROJECT if no project was found, NO_ALLOWLIST if the named directory has no allowlist,
            PROJECT_CONFLICT if the directories lead to different projects.
    """
    if where.argument is not None:
        named_here = place_at(where.argument, homes)
        if not _has_file(named_here.directory):
            raise _no_allowlist(where.argument)
        return _project(named_here.directory, named_here.work_tree)
    # The directories are usually the same, so each different directory is examined only once.
    places = {path: place_at(path, homes) for path in {where.environment, where.root, where.working_directory} if path}
    named = [places[path] for path in (where.environment, where.root) if path]
    here = places[where.working_directory]
    chosen = here if where.bound or not named else named[0]
    if chosen.project is None:
        if named and not where.bound:
            raise _no_allowlist(chosen.directory)
        raise _no_project(where, homes)
    own = project = _project(chosen.project, chosen.work_tree)
    for place in named:
        project = _agreed(project, place, place.work_tree or place.directory)
    project = _agreed(project, here, here.work_tree)
    return own if where.bound else project


def _agreed(project: Project, place: NamedDirectory, anchor: Path | None) -> Project:
    """Return the project if `place` leads to it, too. If `place` has no project, `project` must be in `anchor`.

    A linked work tree also agrees with its main work tree. The project in the linked work tree is then returned,
    because it has fewer rights. Two paths of one directory also agree, for example if the directory is mounted twice.
    The project then keeps the path that was chosen, so a mount never gives it another identity.

    Raises:
        DeniedError: PROJECT_CONFLICT if `place` has a different project, or has none and `project` is not in `anchor`.
    """
    if place.project == project.path:
        return project
    if place.project is not None:
        other = _project(place.project, place.work_tree)
        if _is_at(project.main, other.path) or _is_at(project.own_identity, other.path):
            return project
        if _is_at(other.main, project.path):
            return other
    elif anchor is None or _reaches(anchor, project.path):
        return project
    raise _conflict()


def _is_at(identity: str | None, directory: Path) -> bool:
    """Whether an identity is the path of `directory`, or another path of the same directory."""
    return identity is not None and (identity == str(directory) or is_one_directory(Path(identity), directory))


def _reaches(anchor: Path, project: Path) -> bool:
    """Whether `project` is inside `anchor` or inside the main work tree of `anchor`."""
    if project.is_relative_to(anchor):
        return True
    main = main_work_tree(anchor)
    tops = [anchor] if main is None else [anchor, main]
    return any(project.is_relative_to(top) for top in tops) or any(
        is_one_directory(top, outer) for top in tops for outer in (project, *project.parents)
    )


def _conflict() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "The client, its environment and the working directory name different projects.",
        "The person can set the project in the server's arguments: --project DIR",
    )


def place_at(path: Path, homes: frozenset[Path]) -> NamedDirectory:
    """Return a directory's project and work tree. Raises `DeniedError` NO_PROJECT if the path cannot be resolved."""
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
    """Return the directory and a list of directories to search, each with the paths of its allowlist and its `.git`.

    The list contains the directory and the directories above it, but no home and no directory above a home.
    """
    directory = Path(real)
    below = takewhile(lambda candidate: candidate not in too_high(homes), (directory, *directory.parents))
    return directory, tuple((one, str(one / _FILE), str(one / ".git")) for one in below)


@cache
def too_high(homes: frozenset[Path]) -> frozenset[Path]:
    """Return the homes and all directories above a home. No project or git work tree is looked for in them."""
    return frozenset(directory for home in homes for directory in (home, *home.parents))


def _project(path: Path, work_tree: Path | None) -> Project:
    main = None if work_tree is None else main_work_tree(work_tree)
    in_main = None if work_tree is None or main is None else str(main / path.relative_to(work_tree))
    return Project(path, str(path), work_tree, in_main)


def _has_file(directory: Path) -> bool:
    """Whether the directory has an allowlist. False if the directory cannot be searched.

    A link counts as an allowlist here, but it is refused later, when the allowlist is read.
    """
    return os.path.lexists(os.path.join(directory, _FILE))  # noqa: PTH118  runs at every call, joining text is faster


def real_path(path: Path) -> str:
    """Return the true name of a path, which need not exist. Raises `DeniedError` NO_PROJECT if this fails."""
    try:
        return true_path(path)
    except (OSError, RuntimeError, ValueError):  # a circle of links, or a NUL in a name
        raise DeniedError(Code.NO_PROJECT, "A given directory cannot be found.") from None


def _no_allowlist(directory: Path) -> DeniedError:
    return DeniedError(
        Code.NO_ALLOWLIST,
        f"{directory} has no .claude/secrets.yml, so its agents may not use any secrets.",
        f"The person can create the file: {in_own_terminal(directory, 'init')}",
    )


def _no_project(where: CallOrigin, homes: frozenset[Path]) -> DeniedError:
    directory = where.working_directory
    here = ""
    if not any(home.is_relative_to(directory) for home in homes):
        here = f"To make a project here, the person can run init: {in_own_terminal(directory, 'init')}. "
    return DeniedError(
        Code.NO_PROJECT,
        "No project was found, so nothing is allowed. Looked for --project, CLAUDE_PROJECT_DIR, the client's roots, "
        f"and .claude/secrets.yml in {directory} and above it.",
        f"{here}If this client starts servers in no project's directory, the person can name a project in the client's "
        f"configuration: {command()} install CLIENT --project DIR",
    )
