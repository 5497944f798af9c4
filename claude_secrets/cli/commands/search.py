"""`search`: list the person's secrets whose names match."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import show
from claude_secrets.cli.opening import scoped_person
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add the pattern and `--json` to the parser."""
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        help="an RE2 regular expression that matches anywhere in the name and ignores case",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """List the secrets whose names match the pattern."""
    person = scoped_person(options)
    matching = secrets.search(person, options.pattern)
    stored = bool(matching or secrets.list_all(person))
    show(matching, as_json=options.json, nothing="No secret names match.", stored=stored)
    return 0
