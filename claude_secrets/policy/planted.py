"""Refuse a store, a key file or a policy file that a project could have planted.

Always: links are resolved before paths are compared. Paths are compared by whole components and by inode numbers.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets.errors import Code, CustodyError, DeniedError, SecretsError, StoreError
from claude_secrets.paths import own_directories
from claude_secrets.policy.project import CallOrigin, Project, place_at, real_path, too_high
from claude_secrets.policy.work_trees import is_work_tree

_HOPS: Final = 100  # systems follow about forty links


def grounds_of(project: Path) -> list[Path]:
    """Return the project's directory and the git work trees that contain it. No program in them runs for the person."""
    return [project, *(parent for parent in project.parents if is_work_tree(parent))]


def refuse_inside(
    path: Path,
    refusal: Callable[[], SecretsError],
    where: CallOrigin,
    project: Project | None,
    homes: frozenset[Path],
) -> None:
    """Raise `refusal` if a project could have planted the file at `path`.

    A project could have planted the file if `path` leads through the project's directory. This function checks
    `project`, every project to which a directory in `where` leads, and all git work trees around these directories.
    Home directories are not checked.
    """
    homes = _outermost(homes)
    steps = _steps(path)
    numbers = {_number(step) for step in steps} - {None}
    for outer in set(_grounds(where, project, homes)) - too_high(homes):
        if outer in steps or _number(outer) in numbers:
            raise refusal()


def store_inside() -> StoreError:
    """Return the error for a store that is inside a project."""
    return StoreError(Code.STORE_UNAVAILABLE, *_inside("store"))


def key_file_inside() -> CustodyError:
    """Return the error for a key file that is inside a project."""
    return CustodyError(Code.KEY_MISSING, *_inside("key file"))


def policy_file_inside() -> DeniedError:
    """Return the error for one of the person's own files that is inside a project."""
    return DeniedError(Code.ALLOWLIST_INVALID, *_inside("policy file"))


def _inside(what: str) -> tuple[str, str]:
    """Return the message and the hint for a file inside a project. `what` says which kind of file it is."""
    return (
        f"The {what} is inside the project, but a project must not provide its own {what}.",
        f"Keep the {what} at a path outside the project and its git work tree.",
    )


def check_of_links(where: CallOrigin, project: Project | None, homes: frozenset[Path]) -> Callable[[Path], None]:
    """Return a function that refuses a file of the person if the file is a link that leads through a project.

    Raises:
        DeniedError: ALLOWLIST_INVALID if a directory for the person's files is inside a project. This is checked at
            once, not by the returned function.
    """

    def check(path: Path) -> None:
        refuse_inside(path, policy_file_inside, where, project, homes)

    for directory in own_directories().all():
        try:
            check(directory)
        except DeniedError as error:
            raise error.with_hint(f"{directory}: {error.hint}") from None
    return check


def way_to(path: Path) -> list[Path]:
    """Return all directories that `path` and its links lead through, outermost first."""
    return sorted(step for step in _steps(path) if step.is_dir())


def _grounds(where: CallOrigin, project: Project | None, homes: frozenset[Path]) -> Iterator[Path]:
    """Yield the directories in which a project could have planted files."""
    places = {path for path in (where.argument, where.environment, where.root, where.working_directory) if path}
    if project is not None:
        # The files of the same repository are also in its other work trees.
        places |= {project.path, Path(project.main or project.identity)}
    for place in (place_at(path, homes) for path in places):
        if place.project is not None:
            yield place.project
        for directory in (place.directory, *place.directory.parents):
            if is_work_tree(directory):
                yield directory


def _resolved(path: Path) -> Path:
    return Path(real_path(path))


def _steps(path: Path) -> set[Path]:
    """Return all directories that `path` leads through: the parents of its target and the parents of every link.

    If a link inside a project leads out of the project, the result still contains the project's directory, because the
    project could have planted the link.
    """
    spelled = Path(os.path.abspath(path))  # noqa: PTH100  Path.absolute keeps "..", but DIR/../x does not lead into DIR
    ends = {_resolved(path)}
    if ends != {spelled}:  # there is a link
        ends |= _hops(spelled)
        ends.update(_resolved(step) for step in (spelled, *spelled.parents))
    return {step for end in ends for step in (end, *end.parents)}


def _hops(spelled: Path) -> set[Path]:
    """Return the path and every intermediate path that results from following its links one at a time."""
    hops, left = {spelled}, [spelled]
    while left and len(hops) < _HOPS:
        path = left.pop()
        for step in (path, *path.parents):
            with suppress(OSError):  # the step is not a link
                target = os.path.join(real_path(step.parent), os.readlink(step))  # noqa: PTH115,PTH118  a str, as written
                hop = Path(os.path.abspath(target), path.relative_to(step))  # noqa: PTH100  as above
                left += {hop} - hops
                hops.add(hop)
    return hops


def _number(path: Path) -> tuple[int, int] | None:
    """Return the path's device and inode numbers, which are the same for other spellings of the path."""
    try:
        status = path.stat()
    except OSError:  # the path does not exist yet
        return None
    return (status.st_dev, status.st_ino)


def _outermost(homes: frozenset[Path]) -> frozenset[Path]:
    """Return the homes that are not inside another home: a project could set HOME to one of its own directories."""
    above = [home for home in homes if home != Path(home.anchor)]
    return frozenset(home for home in homes if not any(home.is_relative_to(other) for other in above if other != home))
