"""Check the current project, its allowlist, and the projects above and below it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets.cli.checks.finding import OK, WARN, Finding, checked
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import allowlist_of
from claude_secrets.paths import command, home_directories, working_directory
from claude_secrets.policy.allowlist import FILE
from claude_secrets.policy.project import Project

_DEPTH: Final = 3
_DIRECTORIES: Final = 2000
"""Projects are looked for so many levels below the current one, and in so many directories at most."""

_SHOWN: Final = 3
_PASSED_OVER: Final = frozenset({"node_modules", "venv", "target", "vendor", "build", "dist", "__pycache__"})


def check_project(project: Project | None) -> Iterator[Finding]:
    """Check the project; None means that there is none here."""
    yield _project(project)
    if project is not None:
        yield checked("allowlist", lambda: _allowlist(project))
    yield from _neighbours(working_directory() if project is None else project.path, is_project=project is not None)


def _project(project: Project | None) -> Finding:
    if project is None:
        return Finding("project", WARN, "You are not inside a project.", f"In a project's directory: {command()} init")
    return Finding("project", OK, str(project.path))


def _allowlist(project: Project) -> Finding:
    allowlist = allowlist_of(project)
    if not allowlist.entries:
        return Finding("allowlist", WARN, "The allowlist allows nothing.", f"To allow a name: {command()} allow NAME")
    rules = sum(len(of_tool) for of_tool in allowlist.rules.tools.values()) + len(allowlist.rules.everywhere)
    number = len(allowlist.entries)
    message = f"{number} {'entry' if number == 1 else 'entries'}, scope {allowlist.scope}, {rules} rules"
    if allowlist.warnings:
        return Finding("allowlist", WARN, message, " ".join(allowlist.warnings))
    return Finding("allowlist", OK, message)


def _neighbours(directory: Path, *, is_project: bool) -> Iterator[Finding]:
    """Report projects above and below, whose allowlists do not apply in this directory."""
    homes = home_directories()
    above = [each for each in directory.parents if each not in homes and _is_project(each)]
    if is_project and above:
        yield Finding("project", OK, f"The allowlist of {short(str(above[0]))}, above it, does not apply here.")
    if directory in homes or any(home.is_relative_to(directory) for home in homes):
        return
    if below := [*_below(directory)]:
        names = ", ".join(short(str(each)) for each in below[:_SHOWN])
        more = f" and {len(below) - _SHOWN} more" if len(below) > _SHOWN else ""
        yield Finding("project", OK, f"Projects of their own below it: {names}{more}")


def _below(directory: Path) -> Iterator[Path]:
    """Yield the projects below a directory, without following links."""
    level, left = [directory], _DIRECTORIES
    for _ in range(_DEPTH):
        inner: list[Path] = []
        for each in level:
            with suppress(OSError), os.scandir(each) as entries:  # the directory may not be readable
                inner += [
                    Path(entry.path)
                    for entry in entries
                    if entry.name not in _PASSED_OVER
                    and not entry.name.startswith(".")
                    and entry.is_dir(follow_symlinks=False)
                ]
        level = sorted(inner)[:left]
        left -= len(level)
        yield from (each for each in level if _is_project(each))


def _is_project(directory: Path) -> bool:
    return (directory / FILE).is_file()
