"""`search`: the person's secrets whose names match."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import show
from claude_secrets.cli.opening import scoped_person
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Take the pattern and `--json`."""
    parser.add_argument("pattern", metavar="PATTERN", help="RE2, anywhere in the name, upper and lower case alike")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """List what matches."""
    matching = secrets.search(scoped_person(options), options.pattern)
    show(matching, as_json=options.json, nothing="No secret's name matches.")
    return 0
