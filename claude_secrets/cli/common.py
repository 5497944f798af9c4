"""What the commands share: where the person stands, the store with its guards, and how secrets are listed."""

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.ending import at_end, at_failure
from claude_secrets.cli.output import hint, note, say_json, table
from claude_secrets.cli.times import date, left
from claude_secrets.errors import CallerError, Code, DeniedError, InputError, SecretsError, StoreError
from claude_secrets.model import PERSON, SHARED, is_name
from claude_secrets.paths import command, expanded, home_directories, own_directories, store_path, working_directory
from claude_secrets.person.person import Person
from claude_secrets.policy import allowlist
from claude_secrets.policy.allowlist import Allowlist
from claude_secrets.policy.config import Config
from claude_secrets.policy.grounds import key_file_inside, policy_file_inside, refuse_inside, store_inside
from claude_secrets.policy.ownership import CheckLink
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.project import Project, Whereabouts, locate
from claude_secrets.store.records import Record
from claude_secrets.store.store import Store

_PASSPHRASE_LIMIT = 4096
_MISTYPED: Final = (Code.INVALID_ARGUMENTS, Code.INVALID_NAME, Code.INVALID_VALUE, Code.INVALID_PATTERN, Code.CANCELLED)
_ANNOUNCED_SECONDS: Final = 14 * 86_400
"""How long before a value expires the person is told so."""

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


def open_store(options: Namespace, project: Project | None, at: Path | None = None) -> Store:
    """The store (or the one `at` a path), unless a project brought it or its key file along."""
    return _store_at(
        at or store_path(options.store, os.environ, read_settings(options, project).store), options, project
    )


def read_settings(options: Namespace, project: Project | None) -> Config:
    """What the person's `config.yml` says. Raises `DeniedError` ALLOWLIST_INVALID."""
    return read_config(own_directories(), check_of_links(options, project))


def check_of_links(options: Namespace, project: Project | None) -> CheckLink:
    """What refuses files of the person's that are links through a project. Raises for their directories at once."""
    where, homes = whereabouts(options), home_directories()

    def check(path: Path) -> None:
        refuse_inside(path, policy_file_inside, where, project, homes)

    for directory in own_directories().all():
        try:
            check(directory)
        except DeniedError as error:
            error.hint = f"{directory}: {error.hint}"
            raise
    return check


def _store_at(path: Path, options: Namespace, project: Project | None) -> Store:
    where, homes = whereabouts(options), home_directories()

    def check_key_file(key_file: Path) -> None:
        refuse_inside(key_file, key_file_inside, where, project, homes)

    refuse_inside(path, store_inside, where, project, homes)
    store = Store.at(
        path,
        os.environ,
        check_key_file=check_key_file,
        ask_passphrase=lambda: passphrase("the store", options.passphrase_fd),
    )
    at_end(store.close)  # folds the store's log into its file
    return store


def the_person(
    options: Namespace, project: Project | None, scope: str | None = None, *, at: Path | None = None
) -> Person:
    """The person's doorway, in `scope` or the project's; to the store `at` a path, where one is given."""
    claimed = scope is None and project is not None
    if scope is None:
        scope = read_allowlist(project).scope if project else SHARED
    config = read_settings(options, project)
    person = Person(
        store=open_store(options, project, at),
        project=project,
        scope=scope,
        default_access=config.default_access,
        keep_versions=config.keep_versions,
    )
    at_failure(lambda error: _note(error, person, options))
    if claimed and options.command in _IN_A_SCOPE:
        from claude_secrets.cli.foreign import require_scope

        require_scope(person, options)
    return person


def _note(error: SecretsError, person: Person, options: Namespace) -> None:
    """Write into the log that the command failed, if the store is open; what was mistyped is not worth a line."""
    if error.code in _MISTYPED or not (person.store.exists() and person.store.unlocked):
        return
    name = getattr(options, "name", None)
    name = name if isinstance(name, str) and is_name(name) else ""
    with suppress(SecretsError), person.store.write(durable=False) as tx:  # nothing was given out all the same
        person.note(tx, options.command, name, refused=error.code)


def passphrase(what: str, descriptor: int | None) -> str:
    """The passphrase of `what`, from a file descriptor or typed at the terminal.

    Raises:
        InputError: there is no terminal to ask at; or nothing was typed.
        CallerError: INVALID_ARGUMENTS where nothing can be read from the descriptor.
    """
    if descriptor is None:
        from claude_secrets.prompt.terminal import read_hidden

        try:
            return read_hidden(f"Passphrase of {what} (not shown): ")
        except InputError as error:
            if error.code is Code.NO_INPUT_CHANNEL:
                error.hint = "A file descriptor can give it; --help says by which option."
            raise
    if descriptor not in _read_already:  # once only: a pipe has nothing to say a second time
        _read_already[descriptor] = first_line(descriptor, "passphrase")
    return _read_already[descriptor]


_read_already: dict[int, str] = {}


def first_line(descriptor: int, what: str) -> str:
    """The first line that a file descriptor gives, for a `what` ("passphrase").

    Raises:
        CallerError: INVALID_ARGUMENTS where nothing can be read from it.
    """
    try:
        if descriptor > 2:
            os.set_inheritable(descriptor, False)  # noqa: FBT003  it takes no names
        with open(descriptor, "rb", closefd=False) as file:
            line = file.readline(_PASSPHRASE_LIMIT).decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError, TypeError, OverflowError):  # from None: what cannot be decoded is in the exception
        line = ""
    if not line:
        raise CallerError(Code.INVALID_ARGUMENTS, f"No {what} can be read from that file descriptor.") from None
    return line


def new_passphrase(what: str, descriptor: int | None) -> str:
    """A new passphrase for `what`, typed twice, or read from a file descriptor.

    Raises:
        InputError: as `passphrase`.
        CallerError: INVALID_VALUE where both are not alike; INVALID_ARGUMENTS as `passphrase`.
    """
    if descriptor is not None:
        return passphrase(what, descriptor)
    return the_same_again(what, passphrase(f"{what}: a new one", None))


def the_same_again(what: str, first: str) -> str:
    """A new passphrase that was typed, once it is typed a second time. Raises as `new_passphrase`."""
    if passphrase(f"{what}: the same again", None) != first:
        raise CallerError(Code.INVALID_VALUE, "The two passphrases differ; nothing was changed.")
    return first


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


def hint_at_main(person: Person) -> None:
    """Say how a linked work tree comes to count as its main one, where it does not yet."""
    standing = person.standing()
    if standing is not None and standing.unjoined is not None:
        main = short(standing.unjoined)
        hint(f"this is a git work tree of {main}, and does not count as that project; to let it: {command()} trust")


def here(person: Person) -> str:
    """The project as people write it."""
    return "you" if person.project is None else short(str(person.project.path))


def short(origin: str) -> str:
    """A project's identity as people write it, with ~ for their home."""
    if origin == PERSON:
        return "you"
    for home in home_directories():
        if Path(origin).is_relative_to(home) and Path(origin) != home:
            return str(Path("~") / Path(origin).relative_to(home))
    return origin


def as_data(record: Record) -> dict[str, object]:
    """A secret for `--json`: what is known of it but its value."""
    return {
        "name": record.name,
        "scope": record.scope,
        "access": record.access.value,
        "version": record.version,
        "updated": date(record.updated),
        "origin": record.origin,
        "entered_by": record.entered_by.value,
        "expires": None if record.expires is None else date(record.expires),
        "note": record.note,
    }


class Expiry(NamedTuple):
    """A secret whose value has expired, or expires in so many `seconds`."""

    record: Record
    seconds: float

    def __str__(self) -> str:
        return f"expires in {left(self.seconds)}" if self.seconds > 0 else "has expired"


def expiries(records: Iterable[Record]) -> list[Expiry]:
    """The secrets whose values have expired or expire within two weeks, the soonest first."""
    found = (Expiry(record, record.expires - time.time()) for record in records if record.expires is not None)
    return sorted((one for one in found if one.seconds < _ANNOUNCED_SECONDS), key=lambda one: one.seconds)


def show(records: Iterable[Record], *, as_json: bool, nothing: str) -> None:
    """Print secrets as a table, or as JSON; say which have expired or soon will."""
    found = list(records)
    if as_json:
        say_json([as_data(record) for record in found])
    elif not found:
        note(nothing)
    else:
        heads = ("NAME", "SCOPE", "ACCESS", "VERSION", "STORED", "FROM", "EXPIRES")
        rows = [heads, *(_row(record) for record in found)]
        table(rows if any(record.expires for record in found) else [row[:-1] for row in rows])
        for one in expiries(found):
            secret = f"{one.record.name} --scope {one.record.scope}"
            hint(f"'{one.record.name}' {one}; to store a new value: {command()} set {secret}")


def _row(record: Record) -> tuple[str, ...]:
    return (
        record.name,
        record.scope,
        record.access.value,
        str(record.version),
        date(record.updated)[:10],
        short(record.origin),
        "" if record.expires is None else date(record.expires)[:10],
    )
