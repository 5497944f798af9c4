"""`delete`: delete a secret."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.ask_about_others import whose
from claude_secrets.cli.asking import require_yes
from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import hint, say
from claude_secrets.model import check_name
from claude_secrets.paths import command
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name and `--yes` to the parser."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Ask, then delete the secret."""
    name = check_name(options.name)
    person = scoped_person(options)
    secrets.require(person, name)
    asked = f"Delete '{name}' in scope '{person.scope}'? (Its versions stay in the store.)"
    require_yes(f"{asked}{whose(person, name)}", yes=options.yes)
    if not secrets.delete(person, name):
        raise person.missing(name)
    say(f"Deleted '{name}'.")
    hint(f"to restore it: {command()} restore {name}")
    return 0
