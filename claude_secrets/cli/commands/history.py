"""`history`: list the stored versions of a secret, without their values."""

from argparse import ArgumentParser, Namespace
from typing import Final

from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import counted, note, say_json, table
from claude_secrets.cli.times import date
from claude_secrets.model import EnteredBy
from claude_secrets.paths import command
from claude_secrets.person import history
from claude_secrets.store.versions import Version

_SHOWN: Final = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name, `--all` and `--json` to the parser."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"list all versions (default: the newest {_SHOWN}, and those that a person entered)",
    )
    parser.add_argument("--json", action="store_true", help="print all versions as JSON")
    add_scope(parser)


def run(options: Namespace) -> int:
    """List the versions, newest first."""
    record, kept = history.history(scoped_person(options), options.name)
    kept.reverse()
    if options.json:
        say_json([_as_data(version) for version in kept])
        return 0
    shown = [v for at, v in enumerate(kept) if options.all or at < _SHOWN or v.entered_by is EnteredBy.PERSON]
    rows = [("VERSION", "STORED", "BY", "FROM", "")]
    for version in shown:
        state = "deleted" if version.deleted else "current" if version.number == record.version else ""
        rows.append(
            (
                str(version.number),
                date(version.created),
                "you" if version.entered_by is EnteredBy.PERSON else "an agent",
                short(version.origin),
                state,
            )
        )
    table(rows)
    if len(shown) < len(kept):
        note(f"Not listed: {counted(len(kept) - len(shown), 'version')} stored by agents. To list them, use --all.")
    if any(not version.deleted and version.number != record.version for version in kept):
        note(f"To restore a version: {command()} restore {options.name} --version NUMBER")
    return 0


def _as_data(version: Version) -> dict[str, object]:
    return {
        "version": version.number,
        "deleted": version.deleted,
        "stored": date(version.created),
        "entered_by": version.entered_by.value,
        "origin": version.origin,
        "expires": None if version.expires is None else date(version.expires),
    }
