"""`access`: set whether agents may read the values of secrets."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import ask_about_others
from claude_secrets.cli.opening import add_scope, invocation_of, scoped_person, yes_of
from claude_secrets.cli.output import say
from claude_secrets.model import Access
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Take the names, and `--use-only` or `--readable`."""
    parser.add_argument("names", metavar="NAME", nargs="+")
    access = parser.add_mutually_exclusive_group(required=True)
    access.add_argument(
        "--use-only",
        dest="access",
        action="store_const",
        const=Access.USE_ONLY,
        help="agents read the value only with your consent",
    )
    access.add_argument(
        "--readable", dest="access", action="store_const", const=Access.READABLE, help="agents may read the value"
    )
    add_scope(parser)
    ask_about_others.add_yes(parser)


def loosens(options: Namespace) -> bool:
    """Return whether the command gives agents, or readers of its output, more access."""
    return options.access is Access.READABLE


def run(options: Namespace) -> int:
    """Change all names, or none if one is missing."""
    person, yes = scoped_person(options), yes_of(invocation_of(options))
    for name in options.names if options.access is Access.READABLE else ():
        ask_about_others.require_name(person, name, f"Let agents that may use {name} read its value?", yes)
    changed = secrets.set_access(person, options.names, options.access)
    for name in options.names:
        say(f"'{name}' is {'' if name in changed else 'already '}{options.access.value}.")
    return 0
