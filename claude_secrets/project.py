"""Which project a call belongs to, and what may not lie inside it.

Always: paths are compared resolved and by components; git is never run, its files are read; places that contradict
each other are refused. The doorway and the faces import it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, CustodyError, DeniedError, SecretsError, StoreError

_FILE: Final = str(Path(".claude", "secrets.yml"))
_SMALL: Final = 4096
_HOPS: Final = 100  # systems follow about forty links


class Whereabouts(NamedTuple):
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
    grant for the project to count as that one (`trust.standing`), and then `identity` is `main`.
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


class _Place(NamedTuple):
    """A directory somebody named: the project found from it, and the git work tree it is in."""

    directory: Path
    project: Path | None
    work_tree: Path | None


def locate(where: Whereabouts, *, homes: frozenset[Path], command: str) -> Project:
    """Find the project: `--project`, else CLAUDE_PROJECT_DIR, else the client's root, else the working directory.

    The last three are searched upward inside their git work tree (without one: below the home directory).

    Raises:
        DeniedError: NO_PROJECT (none was found), NO_ALLOWLIST (the one named has no file), PROJECT_CONFLICT.
    """
    if where.argument is not None:
        named_here = _place(where.argument, homes)
        if not _has_file(named_here.directory):
            raise _no_allowlist(where.argument, command)
        return _project(named_here.directory, named_here.work_tree)
    # Mostly all of them are one directory: looked at once.
    places = {path: _place(path, homes) for path in {where.environment, where.root, where.working_directory} if path}
    named = [places[path] for path in (where.environment, where.root) if path]
    here = places[where.working_directory]
    chosen = here if where.bound or not named else named[0]
    if chosen.project is None:
        if named and not where.bound:
            raise _no_allowlist(chosen.directory, command)
        raise _no_project(where, command)
    own = project = _project(chosen.project, chosen.work_tree)
    for place in named:
        project = _agreed(project, place, place.work_tree or place.directory)
    project = _agreed(project, here, here.work_tree)
    return own if where.bound else project


def grounds_of(project: Path) -> list[Path]:
    """The project's directory and the git work trees around it: nothing is run from there on the person's behalf."""
    return [project, *(parent for parent in project.parents if _is_work_tree(parent))]


def refuse_inside(path: Path, what: str, where: Whereabouts, project: Project | None, homes: frozenset[Path]) -> None:
    """Refuse a `what` ("store", "key file" or "policy file") that a project could have brought along.

    That is: inside the project, any place that was named, or a git work tree around them (home itself aside).

    Raises:
        SecretsError: StoreError STORE_UNAVAILABLE, CustodyError KEY_MISSING or DeniedError ALLOWLIST_INVALID.
    """
    homes = _outermost(homes)
    steps = _steps(path)
    numbers = {_number(step) for step in steps} - {None}
    for outer in set(_grounds(where, project, homes)) - _too_high(homes):
        if outer in steps or _number(outer) in numbers:
            message = f"The {what} lies inside the project, which must not bring its own."
            hint = f"Keep the {what} outside of the project's git work tree."
            raise _inside_errors(message, hint)[what]


def way_to(path: Path) -> list[Path]:
    """The directories that `path` leads through, those of each link on the way too; the outer ones first."""
    return sorted(step for step in _steps(path) if step.is_dir())


def _inside_errors(message: str, hint: str) -> dict[str, SecretsError]:
    return {
        "store": StoreError(Code.STORE_UNAVAILABLE, message, hint),
        "key file": CustodyError(Code.KEY_MISSING, message, hint),
        "policy file": DeniedError(Code.ALLOWLIST_INVALID, message, hint),
    }


def _grounds(where: Whereabouts, project: Project | None, homes: frozenset[Path]) -> Iterator[Path]:
    """The directories whose content a project could have brought."""
    places = {path for path in (where.argument, where.environment, where.root, where.working_directory) if path}
    if project is not None:
        # Another work tree of the repository holds what the repository brought, too.
        places |= {project.path, Path(project.main or project.identity)}
    for place in (_place(path, homes) for path in places):
        if place.project is not None:
            yield place.project
        for directory in (place.directory, *place.directory.parents):
            if _is_work_tree(directory):
                yield directory


def _steps(path: Path) -> set[Path]:
    """All directories that `path` leads through: those it ends below, and those of each link on the way.

    A link inside a project that points out of it is the project's own choice too.
    """
    spelled = Path(os.path.abspath(path))  # noqa: PTH100  Path.absolute keeps "..": DIR/../x does not lead into DIR
    ends = {_resolved(path)}
    if ends != {spelled}:  # there is a link
        ends |= _hops(spelled)
        ends.update(_resolved(step) for step in (spelled, *spelled.parents))
    return {step for end in ends for step in (end, *end.parents)}


def _hops(spelled: Path) -> set[Path]:
    """The path, and what it becomes as each link in it is followed by one step."""
    found, left = {spelled}, [spelled]
    while left and len(found) < _HOPS:
        path = left.pop()
        for step in (path, *path.parents):
            with suppress(OSError):  # it is no link
                target = os.path.join(real_path(step.parent), os.readlink(step))  # noqa: PTH115,PTH118  a str, as written
                hop = Path(os.path.abspath(target), path.relative_to(step))  # noqa: PTH100  as above
                left += {hop} - found
                found.add(hop)
    return found


def _number(path: Path) -> tuple[int, int] | None:
    """What the file system itself tells directories apart by: it may take several spellings for one name."""
    try:
        found = path.stat()
    except OSError:  # not there yet
        return None
    return (found.st_dev, found.st_ino)


def _outermost(homes: frozenset[Path]) -> frozenset[Path]:
    """The homes that lie in no other: a HOME inside the real home may be a project's own doing."""
    above = [home for home in homes if home != Path(home.anchor)]
    return frozenset(home for home in homes if not any(home.is_relative_to(other) for other in above if other != home))


def _agreed(project: Project, place: _Place, anchor: Path | None) -> Project:
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
    main = None if project.is_relative_to(anchor) else _main_work_tree(anchor)
    return project.is_relative_to(main or anchor)


def _conflict() -> DeniedError:
    return DeniedError(
        Code.PROJECT_CONFLICT,
        "The client, its environment and the working directory name different projects.",
        "The person can name the project in the server's own arguments: --project DIR",
    )


def _place(path: Path, homes: frozenset[Path]) -> _Place:
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
    return _Place(directory, project, work_tree)


@lru_cache
def _upward(real: str, homes: frozenset[Path]) -> tuple[Path, tuple[tuple[Path, str, str], ...]]:
    """A directory; and it and those above it, below all homes, with the paths to look at: at every call the same."""
    directory = Path(real)
    below = takewhile(lambda candidate: candidate not in _too_high(homes), (directory, *directory.parents))
    return directory, tuple((one, str(one / _FILE), str(one / ".git")) for one in below)


@cache
def _too_high(homes: frozenset[Path]) -> frozenset[Path]:
    """The homes and what is above them: no project is found there, and git work trees there do not count."""
    return frozenset(directory for home in homes for directory in (home, *home.parents))


def _project(path: Path, work_tree: Path | None) -> Project:
    main = None if work_tree is None else _main_work_tree(work_tree)
    in_main = None if work_tree is None or main is None else str(main / path.relative_to(work_tree))
    return Project(path, str(path), work_tree, in_main)


def _main_work_tree(work_tree: Path) -> Path | None:
    """For a linked work tree the main one, where both sides say so; else None.

    The layout is git's own: https://git-scm.com/docs/gitrepository-layout (worktrees/<id>/gitdir, commondir). A bare
    repository is not followed: any directory with two entries of the right names looks like one.
    """
    pointer = _line(work_tree / ".git")
    if pointer is None or not pointer.startswith("gitdir: "):
        return None
    entry = Path(os.path.realpath(work_tree / pointer.removeprefix("gitdir: ")))
    back = _line(entry / "gitdir")
    if back is None or Path(os.path.realpath(entry / back)) != work_tree / ".git":
        return None
    common = entry.parent.parent
    if entry.parent.name != "worktrees" or common.name != ".git" or _line(common / "HEAD") is None:
        return None
    shared = _line(entry / "commondir")
    if shared is None or Path(os.path.realpath(entry / shared)) != common:
        return None
    if common.is_relative_to(work_tree):  # git makes none there, but whoever may write in the project can
        return None
    return common.parent


def _line(path: Path) -> str | None:
    """The only line of a small plain file, or None."""
    try:
        # Looked at before it is opened: `.git` is a directory nearly always, and a named pipe would wait.
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  it is open already
            line = os.fsdecode(file.read(_SMALL)).removesuffix("\n")
    except OSError:
        return None
    return None if "\0" in line or "\n" in line else line


def _has_file(directory: Path) -> bool:
    """Whether an allowlist stands there, be it a link that will be refused; False where one cannot look."""
    return os.path.lexists(os.path.join(directory, _FILE))  # noqa: PTH118  at every call: joining text is quicker


def _is_work_tree(directory: Path) -> bool:
    return os.path.lexists(os.path.join(directory, ".git"))  # noqa: PTH118  as above


def _resolved(path: Path) -> Path:
    return Path(real_path(path))


def real_path(path: Path) -> str:
    """Where a path leads, whether or not something is there. Raises `DeniedError` NO_PROJECT where it leads nowhere."""
    try:
        return os.path.realpath(path)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL in a name
        raise DeniedError(Code.NO_PROJECT, "A directory that was named cannot be found.") from None


def _no_allowlist(directory: Path, command: str) -> DeniedError:
    return DeniedError(
        Code.NO_ALLOWLIST,
        f"{directory} has no .claude/secrets.yml, so agents may use nothing there.",
        f"The person can make one, in that directory: {command} init",
    )


def _no_project(where: Whereabouts, command: str) -> DeniedError:
    example = (
        '{"mcpServers": {"secrets": {"command": "uvx", "args": ["claude-secrets", "--project", "/path/to/project"]}}}'
    )
    return DeniedError(
        Code.NO_PROJECT,
        "No project was found, so nothing is allowed. Looked for --project, CLAUDE_PROJECT_DIR, the client's roots, "
        f"and .claude/secrets.yml in {where.working_directory} and above it.",
        f"The person can name the project in the client's configuration: {example} "
        f"(and make its allowlist there: {command} init)",
    )
