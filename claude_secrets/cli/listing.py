"""Prints secrets as a table or as JSON, hints at secrets that expire, and shortens projects' paths."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.output import hint, note, say_json, table
from claude_secrets.cli.times import date, left
from claude_secrets.model import PERSON
from claude_secrets.paths import command, home_directories
from claude_secrets.person import trust
from claude_secrets.person.person import Person
from claude_secrets.store.records import Record

_ANNOUNCED_SECONDS: Final = 14 * 86_400
"""Values that expire within this time are announced to the person."""


def hint_at_main(person: Person) -> None:
    """Print a hint if a linked git work tree does not count as its main project yet.

    The hint says how to change that.
    """
    project = trust.project_with_identity(person)
    if project is not None and project.unjoined is not None:
        main = short(project.unjoined)
        not_yet = f"this is a git work tree of {main}, but it may not use that project's secrets yet"
        hint(f"{not_yet}; to change this: {command()} trust")


def here(person: Person) -> str:
    """Return the shortened path of the person's project, or "you" outside projects."""
    return "you" if person.project is None else short(str(person.project.path))


def short(origin: str) -> str:
    """Return an origin in short form: a project's path with `~` for the home directory, or "you" for the person."""
    if origin == PERSON:
        return "you"
    for home in home_directories():
        if Path(origin).is_relative_to(home) and Path(origin) != home:
            return str(Path("~") / Path(origin).relative_to(home))
    return origin


def as_data(record: Record) -> dict[str, object]:
    """Return a secret's data for `--json`, without its value."""
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


class ExpiringSecret(NamedTuple):
    """A secret whose value expires in `seconds`. If the value has expired, `seconds` is 0 or less."""

    record: Record
    seconds: float

    def __str__(self) -> str:
        return f"expires in {left(self.seconds)}" if self.seconds > 0 else "has expired"


def expiries(records: Iterable[Record]) -> list[ExpiringSecret]:
    """Return the secrets whose values have expired or expire within two weeks, the earliest first."""
    expiring = (
        ExpiringSecret(record, record.expires - time.time()) for record in records if record.expires is not None
    )
    return sorted((one for one in expiring if one.seconds < _ANNOUNCED_SECONDS), key=lambda one: one.seconds)


def show(records: Iterable[Record], *, as_json: bool, nothing: str, stored: bool) -> None:
    """Print secrets as JSON, or as a table with hints about secrets that have expired or soon expire.

    If there are no secrets to print, the text `nothing` is printed instead of the table. `stored` is whether any secret
    is stored at all.
    """
    shown = list(records)
    if as_json:
        say_json([as_data(record) for record in shown])
    elif not stored:
        note("No secrets are stored.")
        hint(f"to store one: {command()} set NAME")
    elif not shown:
        note(nothing)
        hint(f"to see all secrets, in all scopes: {command()} list")
    else:
        heads = ("NAME", "SCOPE", "ACCESS", "VERSION", "STORED", "FROM", "EXPIRES")
        rows = [heads, *(_row(record) for record in shown)]
        table(rows if any(record.expires for record in shown) else [row[:-1] for row in rows])
        for one in expiries(shown):
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
