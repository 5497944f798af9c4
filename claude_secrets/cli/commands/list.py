"""`list`: list the person's secrets, without their values."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import show
from claude_secrets.cli.opening import scoped_person
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--scope` and `--json` to the parser."""
    parser.add_argument("--scope", help="list only the secrets in this scope")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """List the secrets of all scopes, or of the scope that `--scope` names."""
    every = secrets.list_all(scoped_person(options))
    chosen = [record for record in every if options.scope in (None, record.scope)]
    show(chosen, as_json=options.json, nothing="No secrets are stored in this scope.", stored=bool(every))
    return 0
