"""Asking before a command uses, overwrites or grants what is someone else's.

Always: what is asked is shown first, with where it was stored and who else uses it; `--yes` answers for scripts; where
nobody can be asked the command is refused and nothing is changed.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from claude_secrets import foreign
from claude_secrets.cli.common import short
from claude_secrets.cli.output import note
from claude_secrets.errors import Code, DeniedError, InputError
from claude_secrets.foreign import Theirs
from claude_secrets.model import PERSON
from claude_secrets.paths import command, home_directories, working_directory
from claude_secrets.person import Person

_SHOWN = 20


def add_yes(parser: ArgumentParser) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", action="store_true", help="do not ask about secrets of other projects")


def require_name(person: Person, name: str, doing: str, options: Namespace) -> None:
    """Ask before something is done (`doing`: "overwrite") to a name that is someone else's.

    Raises:
        DeniedError: NOT_TRUSTED where nobody can be asked.
    """
    theirs = foreign.of_others(person, [name])
    if not theirs:
        return
    refusal = DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' was {_stored(theirs[0])}.",
        f"To {doing} all the same: --yes. {_own_scope(person)}",
    )
    _ask([f"{name} was {_stored(theirs[0])}."], f"{doing[0].upper()}{doing[1:]} all the same?", options, refusal)


def require_scope(person: Person, options: Namespace) -> None:
    """Ask before the secrets of a scope are used that only the project's file says is the project's.

    Raises:
        DeniedError: NOT_TRUSTED where nobody can be asked.
    """
    theirs = foreign.in_claimed_scope(person)
    if not theirs or person.project is None:
        return
    claim = f"The file of this project claims the scope '{person.scope}', in which others keep secrets"
    refusal = DeniedError(Code.NOT_TRUSTED, f"{claim}.", f"To look at that and decide: {command()} trust")
    _ask([f"{claim}:", *_listed(theirs)], "Let this project use the scope?", options, refusal)
    person.claim_scope()


def require_references(person: Person, names: Sequence[str], options: Namespace) -> None:
    """Ask before a program or a shell has secrets that only a file named.

    Outside a project nothing says that a file is the person's, but in their home directory itself.

    Raises:
        DeniedError: NOT_TRUSTED where nobody can be asked.
    """
    anywhere = person.project is None and working_directory().resolve() not in home_directories()
    theirs = foreign.of_others(person, names, also_the_persons=anywhere)
    if not theirs:
        return
    where = "This project" if person.project else "No project is here, and this directory"
    words = ", ".join(f"'{each.name}'" for each in theirs)
    refusal = DeniedError(
        Code.NOT_TRUSTED,
        f"The file names {words}, which {where[0].lower()}{where[1:]} was not let use.",
        f"If it should: {_for_good(person)}. For this one time: --yes",
    )
    shown = ["The file names secrets that were stored elsewhere:", *_listed(theirs)]
    _ask(shown, "Let this command have them?", options, refusal)
    note(f"To be asked no more: {_for_good(person)}")


def _for_good(person: Person) -> str:
    begin = "" if person.project else f"{command()} init, then "
    return f"{begin}{command()} allow NAME"


def _ask(lines: Sequence[str], question: str, options: Namespace, refusal: DeniedError) -> None:
    from claude_secrets.human.terminal import confirm

    if getattr(options, "yes", False):
        return
    for line in lines:
        note(line)
    try:
        said_yes = confirm(question)
    except InputError as error:
        raise (refusal if error.code is Code.NO_INPUT_CHANNEL else error) from None
    if not said_yes:
        note("Nothing was changed.")
        raise SystemExit(1)


def _listed(theirs: Sequence[Theirs]) -> list[str]:
    lines = [f"  {each.name}, {_stored(each)}" for each in theirs[:_SHOWN]]
    return [*lines, f"  and {len(theirs) - _SHOWN} more"] if len(theirs) > _SHOWN else lines


def _stored(theirs: Theirs) -> str:
    where = "stored outside any project" if theirs.origin == PERSON else f"stored from {short(theirs.origin)}"
    users = ", ".join(map(short, theirs.users))
    return f"{where} and is used by {users}" if users else where


def _own_scope(person: Person) -> str:
    if person.project is None:
        return "A project's own directory is where its secrets are stored."
    file = Path(person.project.path) / ".claude" / "secrets.yml"
    return f"To keep this project's secrets apart: a line `scope: NAME` in {file}"
