"""`search`: list the person's secrets whose names match."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import show
from claude_secrets.cli.opening import scoped_person
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Take the pattern and `--json`."""
    parser.add_argument("pattern", metavar="PATTERN", help="RE2, matched anywhere in the name, ignoring case")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """List the secrets that match."""
    matching = secrets.search(scoped_person(options), options.pattern)
    show(matching, as_json=options.json, nothing="No secret names match.")
    return 0
