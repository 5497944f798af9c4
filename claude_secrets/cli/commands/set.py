"""`set`: store a value that the person types or pipes in."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import ask_about_others
from claude_secrets.cli.asking import value_from_input
from claude_secrets.cli.listing import here, hint_at_main, short
from claude_secrets.cli.opening import add_scope, allowlist_of, find_project, invocation_of, the_person, yes_of
from claude_secrets.cli.output import hint, say
from claude_secrets.cli.parser import IN_HISTORY
from claude_secrets.cli.times import from_now
from claude_secrets.errors import CallerError
from claude_secrets.model import PERSON, Access, Expiry, check_name
from claude_secrets.paths import command
from claude_secrets.person import secrets, trust
from claude_secrets.person.person import Person
from claude_secrets.shell_words import quoted


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name and the options. The value is not an argument: it comes from the terminal or standard input."""
    parser.add_argument("name", metavar="NAME")
    access = parser.add_mutually_exclusive_group()
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
    parser.add_argument(
        "--exact", action="store_true", help="if standard input is a single line, keep the newline at its end"
    )
    parser.add_argument(
        "--expires",
        metavar="WHEN",
        help="when to remind you that the value expires: a date (2027-01-31), a time from now (90d) or never",
    )
    add_scope(parser)
    ask_about_others.add_yes(parser)


def run(options: Namespace) -> int:
    """Store the value."""
    name = _checked_name(options.name)
    invocation = invocation_of(options)
    project = find_project(invocation)
    expires = _expires(options.expires)
    person = the_person(invocation, project, options.scope)
    use = "" if project is None else f", and let {here(person)} use it"
    yes = yes_of(invocation)
    ask_about_others.require_name(person, name, f"Overwrite {name}{use}?", yes)
    if options.access is Access.READABLE and secrets.is_use_only(person, name):
        yes.require_person(f"Making '{name}' readable for agents")
    person.store.require_key()  # before the person types a value that could not be stored
    stored = secrets.set_value(
        person, name, value_from_input(name, exact=options.exact), options.access, expires=expires
    )
    kind = " Use-only: agents do not get its value." if stored.access is Access.USE_ONLY else ""
    if stored.changed:
        say(f"Stored '{name}' (version {stored.version}).{kind}")
    else:
        say(f"Nothing to change: '{name}' already has this value (version {stored.version}).{kind}")
    if stored.moved_from is not None and stored.moved_from != PERSON:
        hint(_left(person, name, stored.moved_from))
    if project and allowlist_of(project).entry_for(name) is None:
        hint(f"agents of this project cannot use '{name}' yet; to allow it: {command()} allow {name}")
    hint_at_main(person)
    return 0


def _checked_name(given: str) -> str:
    """Return the name if it is valid. Otherwise it may be a value, so the error says what to do then."""
    try:
        return check_name(given)
    except CallerError as error:
        hint_without_value = f"Run `{command()} set NAME`, then type the value. {IN_HISTORY.format('the value')}"
        raise error.with_hint(hint_without_value) from None


def _left(person: Person, name: str, origin: str) -> str:
    """Return a hint that says whether the secret's former project may still use the secret."""
    there = f"--project {quoted(origin)}"
    if any(
        (grant.project, grant.scope, grant.name) == (origin, person.scope, name) for grant in trust.list_grants(person)
    ):
        return f"{short(origin)} may still use '{name}'; to revoke its grant: {command()} {there} revoke {name}"
    allow = f"{command()} {there} allow {name}"
    return f"agents of {short(origin)}, which stored '{name}' before, may no longer use it; to allow it: {allow}"


def _expires(text: str | None) -> int | Expiry:
    if text is None:
        return Expiry.UNCHANGED
    return Expiry.NEVER if text == "never" else from_now(text, "--expires")
