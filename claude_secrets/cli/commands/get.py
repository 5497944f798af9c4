"""`get`: print a secret's value."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import warn, write
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name to the parser."""
    parser.add_argument("name", metavar="NAME")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Print the exact value; on a terminal, add a newline."""
    value = secrets.get_value(scoped_person(options), options.name, warn=warn)
    write(value.encode("utf-8"))
    return 0
