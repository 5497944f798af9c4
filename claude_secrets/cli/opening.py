"""Opens the objects that a command works on: the project, the configuration, the store and the `Person`.

Always: a file that a project could have planted is refused before it is opened. Such a file can be a store, a key file,
or a link that replaces one of the person's own files.
"""

import os
import shlex
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.asking import passphrase
from claude_secrets.cli.presence import Yes
from claude_secrets.cli.teardown import close_at_end, on_failure
from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError, StoreError
from claude_secrets.model import SHARED, is_name
from claude_secrets.paths import command, expanded, home_directories, own_directories, store_path, working_directory
from claude_secrets.person.person import Person
from claude_secrets.policy import allowlist, planted
from claude_secrets.policy.allowlist import Allowlist
from claude_secrets.policy.config import Config, Presence
from claude_secrets.policy.ownership import CheckLink
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.project import CallOrigin, Project, locate
from claude_secrets.store.store import Store

_MISTYPED: Final = (Code.INVALID_ARGUMENTS, Code.INVALID_NAME, Code.INVALID_VALUE, Code.INVALID_PATTERN, Code.CANCELLED)

_IN_A_SCOPE = frozenset(
    {"get", "set", "delete", "rename", "history", "restore", "purge", "access", "exec", "export", "import", "allow"}
)
"""Commands whose NAME arguments are names of secrets in the project's scope."""


class Invocation(NamedTuple):
    """The parts of the command line that determine what is opened: the command and the options that all commands share.

    `name` is the name of the command's secret and `action` is the command with its verb, both for the audit log. `name`
    is empty if the command has no secret. `yes` is whether `--yes` was given.
    """

    command: str
    project: str | None = None
    store: str | None = None
    passphrase_fd: int | None = None
    name: str = ""
    yes: bool = False
    action: str = ""


def invocation_of(options: Namespace) -> Invocation:
    """Return the `Invocation` of a parsed command line."""
    name = getattr(options, "name", None)
    return Invocation(
        command=options.command,
        project=options.project,
        store=options.store,
        passphrase_fd=options.passphrase_fd,
        name=name if isinstance(name, str) and is_name(name) else "",
        yes=bool(getattr(options, "yes", False)),
        action=_action(options),
    )


def _action(options: Namespace) -> str:
    """Return the command with its verb, in the words with which the log reports success."""
    verb = getattr(options, "verb", None)
    if options.command == "access":
        verb = options.access.value
    elif options.command == "backup" and options.words[0] == "restore":
        verb = "restore"
    data = "--data" if verb == "rotate" and options.data else None
    return " ".join(filter(None, (options.command, verb, data)))


def call_origin(invocation: Invocation) -> CallOrigin:
    """Return the command's `CallOrigin`: the directory that `--project` names, or the working directory."""
    named = expanded(invocation.project) if invocation.project else None
    return CallOrigin(argument=named, environment=None, root=None, working_directory=working_directory())


def find_project(invocation: Invocation) -> Project | None:
    """Return the current project, or None. If `--project` is given, raise the same errors as `require_project`."""
    try:
        return require_project(invocation)
    except DeniedError as error:
        if invocation.project or error.code not in (Code.NO_PROJECT, Code.NO_ALLOWLIST):
            raise
        return None


def require_project(invocation: Invocation) -> Project:
    """Return the current project.

    Raises:
        DeniedError: NO_PROJECT or NO_ALLOWLIST if there is no project.
        CallerError: INVALID_ARGUMENTS if `--project` names no directory.
    """
    where = call_origin(invocation)
    try:
        return locate(where, homes=home_directories())
    except DeniedError as error:
        if error.code is Code.NO_ALLOWLIST and where.argument is not None:
            raise _not_a_project(where.argument) from None
        if error.code is not Code.NO_PROJECT:
            raise
        raise DeniedError(
            Code.NO_PROJECT,
            f"There is no project here: no .claude/secrets.yml in {where.working_directory} or above it.",
            f"Go to the project's directory, or create a project here: {command()} init",
        ) from None


def _not_a_project(named: Path) -> SecretsError:
    """Return the error if the directory that `--project` names has no allowlist."""
    if not named.is_dir():
        there = named.exists()
        problem = (
            "path that --project names is not a directory" if there else "directory that --project names does not exist"
        )
        return CallerError(Code.INVALID_ARGUMENTS, f"The {problem}: {named}")
    return DeniedError(
        Code.NO_ALLOWLIST,
        f"The directory that --project names is not a project: {named} has no {allowlist.FILE}.",
        f"To create this file: {command()} --project {shlex.quote(str(named))} init",
    )


def allowlist_of(project: Project) -> Allowlist:
    """Read the project's allowlist. Raises `DeniedError` if the allowlist is invalid."""
    return allowlist.read_allowlist(project.path)[1]


def read_settings(invocation: Invocation, project: Project | None) -> Config:
    """Read the person's `config.yml`. Raises `DeniedError` ALLOWLIST_INVALID if the file is invalid."""
    return read_config(own_directories(), check_of_links(invocation, project))


def scripts_may(invocation: Invocation) -> bool:
    """Return whether the configuration lets scripts run commands that otherwise need a person at a terminal.

    The directory that `--project` names need not be a project yet, because `install` can make it one.
    """
    try:
        project = find_project(invocation)
    except (CallerError, DeniedError):  # a command that needs a project raises the error itself
        project = None
    return read_settings(invocation, project).presence is Presence.ANY


def works_in_namespaces(invocation: Invocation) -> bool:
    """Return whether the configuration says that the person works in namespaces of their own (`namespace: mine`)."""
    return read_settings(invocation, find_project(invocation)).namespace


def yes_of(invocation: Invocation) -> Yes:
    """Return the `Yes` of this command: whether `--yes` was given, and whether it counts as the person's answer."""
    return Yes(given=invocation.yes, command=invocation.command, scripts_may=lambda: scripts_may(invocation))


def check_of_links(invocation: Invocation, project: Project | None) -> CheckLink:
    """Return a function that refuses a file of the person's if it is inside a project, or a link through a project.

    Raises `DeniedError` at once if a directory of such files is inside a project.
    """
    return planted.check_of_links(call_origin(invocation), project, home_directories())


def open_store(invocation: Invocation, project: Project | None) -> Store:
    """Open the store. Raises an error if the store or its key file belongs to a project."""
    return _open(invocation, project, SHARED).store


def _open(invocation: Invocation, project: Project | None, scope: str, at: Path | None = None) -> Person:
    config = read_settings(invocation, project)
    person = Person.open(
        at or store_path(invocation.store, os.environ, config.store),
        os.environ,
        where=call_origin(invocation),
        project=project,
        scope=scope,
        config=config,
        ask_passphrase=lambda: passphrase("Passphrase of the store", invocation.passphrase_fd),
    )
    close_at_end(person.store.close)  # also writes SQLite's log back into the store's file
    return person


def the_person(
    invocation: Invocation, project: Project | None, scope: str | None = None, *, at: Path | None = None
) -> Person:
    """Return the `Person` for `scope` and for the store at the path `at`.

    The default for `scope` is the project's scope. The default for `at` is the path of the store that the command line
    or the configuration names.
    """
    claimed = scope is None and project is not None
    if scope is None:
        scope = allowlist_of(project).scope if project else SHARED
    person = _open(invocation, project, scope, at)
    on_failure(lambda error: _note(error, person, invocation))
    if claimed and invocation.command in _IN_A_SCOPE:
        from claude_secrets.cli.ask_about_others import require_scope

        require_scope(person, yes_of(invocation))
    return person


def scoped_person(options: Namespace) -> Person:
    """Return the `Person` for the current directory, in the scope of `--scope` or the project's scope."""
    invocation = invocation_of(options)
    return the_person(invocation, find_project(invocation), getattr(options, "scope", None))


def _note(error: SecretsError, person: Person, invocation: Invocation) -> None:
    """Record in the audit log that the command failed, if the store is open.

    Errors in the arguments are not recorded.
    """
    if error.code in _MISTYPED or not (person.store.exists() and person.store.unlocked):
        return
    with suppress(SecretsError), person.store.write(durable=False) as tx:  # a failure to log reveals no value
        for name in error.names or (invocation.name,):
            person.log(tx, invocation.action or invocation.command, name, refused=error.code)


def existing_person(invocation: Invocation) -> Person:
    """Return the `Person` of an existing store. Raises `StoreError` STORE_UNAVAILABLE if there is no store."""
    person = the_person(invocation, find_project(invocation), SHARED)
    if not person.store.exists():
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            f"There is no store at {person.store.path}.",
            "If your store is at another path, add --store PATH to this command. "
            f"To make the store from a backup: `{command()} backup restore FILE`. "
            f"To make a new store, store a secret: `{command()} set NAME`.",
        )
    return person


def add_scope(parser: ArgumentParser) -> None:
    """Add `--scope`."""
    parser.add_argument(
        "--scope", help="use this scope instead of the project's scope (outside projects, instead of 'shared')"
    )
