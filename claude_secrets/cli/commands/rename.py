"""`rename`: give a secret another name."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import say
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add the old and the new name to the parser."""
    parser.add_argument("name", metavar="OLD")
    parser.add_argument("new_name", metavar="NEW")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Rename the secret. Its versions and grants move to the new name."""
    secrets.rename(scoped_person(options), options.name, options.new_name)
    say(f"Renamed '{options.name}' to '{options.new_name}'. You must edit allowlists that contain the old name.")
    return 0
