"""`restore`: restore an earlier value of a secret, or a deleted secret."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import hint, say
from claude_secrets.cli.times import date
from claude_secrets.model import EnteredBy
from claude_secrets.paths import command
from claude_secrets.person import history


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name and `--version` to the parser."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--version",
        metavar="NUMBER",
        dest="number",
        type=int,
        help="the version to restore (see history); by default, the newest value before the current version",
    )
    add_scope(parser)


def run(options: Namespace) -> int:
    """Store the value of an earlier version as a new version."""
    person = scoped_person(options)
    done = history.restore_version(person, options.name, options.number)
    earlier, stored = done.earlier, done.stored
    if not stored.changed:
        say(f"Nothing to change: '{options.name}' already has the value of version {earlier.number}.")
        return 0
    who = "you" if earlier.entered_by is EnteredBy.PERSON else "an agent"
    say(
        f"Restored '{options.name}': version {stored.version} has the value that {who} stored as version "
        f"{earlier.number} on {date(earlier.created)[:10]} from {short(earlier.origin)}. "
        f"The secret is {stored.access.value}."
    )
    hint(f"if that is the wrong version, choose another: {command()} history {options.name}")
    return 0
