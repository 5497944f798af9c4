"""`access`: set whether agents may read the values of secrets."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import ask_about_others
from claude_secrets.cli.opening import add_scope, invocation_of, scoped_person, yes_of
from claude_secrets.cli.output import say
from claude_secrets.model import Access
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add the names, `--use-only` and `--readable` to the parser."""
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
    """Return whether the command gives more access to agents or to readers of its output."""
    return options.access is Access.READABLE


def run(options: Namespace) -> int:
    """Set the access of all named secrets; change none of them if one does not exist."""
    person, yes = scoped_person(options), yes_of(invocation_of(options))
    for name in options.names if options.access is Access.READABLE else ():
        ask_about_others.require_name(person, name, f"Make {name} readable for every agent that may use it?", yes)
    changed = secrets.set_access(person, options.names, options.access)
    for name in options.names:
        say(f"'{name}' is {'' if name in changed else 'already '}{options.access.value}.")
    return 0
