"""`rename`: give a secret another name."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import say
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Take both names."""
    parser.add_argument("name", metavar="OLD")
    parser.add_argument("new_name", metavar="NEW")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Rename it, with its versions and grants."""
    secrets.rename(scoped_person(options), options.name, options.new_name)
    say(f"'{options.name}' is now '{options.new_name}'. Allowlists that name it must be changed by hand.")
    return 0
