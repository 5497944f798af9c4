"""Opening what a command works on: the place, the project, the configuration, the store, the person's doorway.

Always: what a project could have planted (a store, a key file, files of the person's that are links) is refused before
it is opened.
"""

import os
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_secrets.cli.asking import passphrase
from claude_secrets.cli.ending import at_end, at_failure
from claude_secrets.cli.presence import Yes
from claude_secrets.errors import Code, DeniedError, SecretsError, StoreError
from claude_secrets.model import SHARED, is_name
from claude_secrets.paths import command, expanded, home_directories, own_directories, store_path, working_directory
from claude_secrets.person.person import Person
from claude_secrets.policy import allowlist, grounds
from claude_secrets.policy.allowlist import Allowlist
from claude_secrets.policy.config import Config, Presence
from claude_secrets.policy.ownership import CheckLink
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.project import Project, Whereabouts, locate
from claude_secrets.store.store import Store

_MISTYPED: Final = (Code.INVALID_ARGUMENTS, Code.INVALID_NAME, Code.INVALID_VALUE, Code.INVALID_PATTERN, Code.CANCELLED)

_IN_A_SCOPE = frozenset(
    {"get", "set", "delete", "rename", "history", "restore", "purge", "access", "exec", "export", "import", "allow"}
)
"""Commands whose names mean secrets of the project's scope."""


def whereabouts(options: Namespace) -> Whereabouts:
    """Where the person stands: the directory named by `--project`, or the working directory."""
    named = expanded(options.project) if options.project else None
    return Whereabouts(argument=named, environment=None, root=None, working_directory=working_directory())


def find_project(options: Namespace) -> Project | None:
    """The project the person stands in, if any. Raises `DeniedError` where `--project` names none."""
    try:
        return require_project(options)
    except DeniedError as error:
        if options.project or error.code not in (Code.NO_PROJECT, Code.NO_ALLOWLIST):
            raise
        return None


def require_project(options: Namespace) -> Project:
    """The project the person stands in. Raises `DeniedError` NO_PROJECT or NO_ALLOWLIST where there is none."""
    where = whereabouts(options)
    try:
        return locate(where, homes=home_directories(), command=command())
    except DeniedError as error:
        if error.code is not Code.NO_PROJECT:
            raise
        raise DeniedError(
            Code.NO_PROJECT,
            f"There is no project here: no .claude/secrets.yml in {where.working_directory} or above it.",
            f"Go to the project's directory, or make one here: {command()} init",
        ) from None


def read_allowlist(project: Project) -> Allowlist:
    """The project's allowlist. Raises `DeniedError` where it cannot be understood."""
    return allowlist.read_allowlist(project.path)[1]


def read_settings(options: Namespace, project: Project | None) -> Config:
    """What the person's `config.yml` says. Raises `DeniedError` ALLOWLIST_INVALID."""
    return read_config(own_directories(), check_of_links(options, project))


def scripts_may(options: Namespace) -> bool:
    """Whether the person's configuration lets scripts do what otherwise wants a person at a terminal."""
    return read_settings(options, find_project(options)).presence is Presence.ANY


def works_in_namespaces(options: Namespace) -> bool:
    """Whether the person says that the namespaces in which this runs are theirs."""
    return read_settings(options, find_project(options)).namespace


def yes_of(options: Namespace) -> Yes:
    """What `--yes` answers for this command."""
    given = bool(getattr(options, "yes", False))
    return Yes(given=given, command=options.command, scripts_may=lambda: scripts_may(options))


def check_of_links(options: Namespace, project: Project | None) -> CheckLink:
    """What refuses files of the person's that are links through a project. Raises for their directories at once."""
    return grounds.check_of_links(whereabouts(options), project, home_directories())


def open_store(options: Namespace, project: Project | None) -> Store:
    """The store, unless a project brought it or its key file along."""
    return _open(options, project, SHARED).store


def _open(options: Namespace, project: Project | None, scope: str, at: Path | None = None) -> Person:
    config = read_settings(options, project)
    person = Person.open(
        at or store_path(options.store, os.environ, config.store),
        os.environ,
        where=whereabouts(options),
        project=project,
        scope=scope,
        config=config,
        ask_passphrase=lambda: passphrase("the store", options.passphrase_fd),
    )
    at_end(person.store.close)  # folds the store's log into its file
    return person


def the_person(
    options: Namespace, project: Project | None, scope: str | None = None, *, at: Path | None = None
) -> Person:
    """The person's doorway, in `scope` or the project's; to the store `at` a path, where one is given."""
    claimed = scope is None and project is not None
    if scope is None:
        scope = read_allowlist(project).scope if project else SHARED
    person = _open(options, project, scope, at)
    at_failure(lambda error: _note(error, person, options))
    if claimed and options.command in _IN_A_SCOPE:
        from claude_secrets.cli.foreign import require_scope

        require_scope(person, yes_of(options))
    return person


def _note(error: SecretsError, person: Person, options: Namespace) -> None:
    """Write into the log that the command failed, if the store is open; what was mistyped is not worth a line."""
    if error.code in _MISTYPED or not (person.store.exists() and person.store.unlocked):
        return
    name = getattr(options, "name", None)
    name = name if isinstance(name, str) and is_name(name) else ""
    with suppress(SecretsError), person.store.write(durable=False) as tx:  # nothing was given out all the same
        person.note(tx, options.command, name, refused=error.code)


def existing_person(options: Namespace) -> Person:
    """The person's doorway to a store that is there. Raises `StoreError` STORE_UNAVAILABLE where there is none."""
    person = the_person(options, find_project(options), SHARED)
    if not person.store.exists():
        raise StoreError(
            Code.STORE_UNAVAILABLE, "There is no store yet.", f"The first secret makes it: {command()} set NAME"
        )
    return person


def add_scope(parser: ArgumentParser) -> None:
    """Add `--scope`."""
    parser.add_argument("--scope", help="another shelf than the project's (outside projects: than 'shared')")
