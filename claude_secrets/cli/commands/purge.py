"""`purge`: permanently remove secrets, with all their versions."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from claude_secrets.cli import old_copies
from claude_secrets.cli.ask_about_others import whose
from claude_secrets.cli.asking import agreed, require_answer, require_yes
from claude_secrets.cli.opening import add_scope, scoped_person
from claude_secrets.cli.output import counted, hint, note, say, warn
from claude_secrets.errors import CallerError, Code
from claude_secrets.exit_codes import FAILED
from claude_secrets.paths import command
from claude_secrets.person import history
from claude_secrets.person.history import Purged
from claude_secrets.person.person import Person


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name, `--deleted` and `--yes` to the parser."""
    parser.add_argument("name", metavar="NAME", nargs="?")
    parser.add_argument("--deleted", action="store_true", help="purge all deleted secrets, in all scopes")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Show the secrets and old copies of the store that will be removed, ask, and remove them."""
    if bool(options.name) == options.deleted:
        forms = (
            f"To purge one secret: {command()} purge NAME. To purge all deleted secrets: {command()} purge --deleted"
        )
        raise CallerError(Code.INVALID_ARGUMENTS, "Name either one secret or --deleted.", forms)
    person = scoped_person(options)
    purge = _deleted(person, yes=options.yes) if options.deleted else _one(person, options.name, yes=options.yes)
    old = old_copies.ask_which_to_remove(person, yes=options.yes)
    if purge is None and not old:
        say("Nothing was changed.")
        return FAILED
    if purge is not None:
        _purge(purge)
    old_copies.remove_copies(person, old)
    return 0


def _purge(purge: Callable[[], Purged]) -> None:
    purged = purge()
    for record in purged.records:
        say(f"Purged '{record.name}' of scope '{record.scope}'.")
    if not purged.scrubbed:
        warn("old data stays in the store's files for now: another program is using the store, or the disk is full")
        hint(f"to remove the old data later: {command()} purge --deleted")
    elif purged.records:
        hint("earlier backups still contain the purged secrets")


def _one(person: Person, name: str, *, yes: bool) -> Callable[[], Purged]:
    """Ask whether to purge the secret, and return the function that purges it."""
    record, versions = history.history(person, name)
    require_yes(
        f"Purge '{record.name}' of scope '{record.scope}', with {counted(len(versions), 'version')} "
        f"and all grants on it? This cannot be undone.{whose(person, record.name)}",
        yes=yes,
    )
    return lambda: history.purge(person, name, record)


def _deleted(person: Person, *, yes: bool) -> Callable[[], Purged] | None:
    """Ask whether to purge the deleted secrets. Return the function that purges them, or None after a refusal."""
    deleted = history.deleted(person)
    if deleted:
        note(f"{counted(len(deleted), 'deleted secret')}:")
    for record in deleted:
        note(f"'{record.name}' of scope '{record.scope}'")
    if deleted:
        number = counted(len(deleted), "deleted secret")
        require_answer(yes=yes)
        if not agreed(f"Purge {number} in all scopes? This cannot be undone.", yes=yes):
            note("The deleted secrets were not purged.")
            return None
    else:
        note("There are no deleted secrets.")
    return lambda: history.purge_deleted(person, deleted)
