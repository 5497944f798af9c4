"""Asks the person before a command uses, overwrites or grants a secret that this project did not store.

Messages call such a secret "stored elsewhere": another project stored it, or the person stored it outside any project.

Always: before the person answers, they see where the secret was stored and which other projects use it. Scripts can
answer with `--yes`. If that answer has a lasting effect, it also needs a person at the terminal, or `presence: any` in
the configuration. If nobody can be asked, the command is refused and nothing changes.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from claude_secrets.cli.asking import ask
from claude_secrets.cli.listing import here, hint_at_main, short
from claude_secrets.cli.output import counted, note
from claude_secrets.cli.presence import Yes
from claude_secrets.cli.teardown import after_success
from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import PERSON
from claude_secrets.paths import command, home_directories
from claude_secrets.person import others_secrets, secrets, trust
from claude_secrets.person.others_secrets import SecretFromElsewhere
from claude_secrets.person.person import Person
from claude_secrets.policy.globs import glob_match
from claude_secrets.true_names import true_path

_USERS_SHOWN = 3
_LASTING = frozenset({"set", "import", "allow"})
"""Commands that allow the project to use a scope permanently. With `--yes`, other commands use the scope only once."""


def add_yes(parser: ArgumentParser) -> None:
    """Add `--yes`."""
    parser.add_argument(
        "--yes", action="store_true", help="answer yes to questions about secrets that were stored outside this project"
    )


def require_name(person: Person, name: str, question: str, yes: Yes) -> None:
    """Ask before a command makes a lasting change to a secret that this project did not store.

    Raises:
        DeniedError: NOT_TRUSTED if nobody can be asked; PERSON_ONLY for `--yes` without a person at the terminal.
    """
    theirs = others_secrets.of_others(person, [name])
    if not theirs:
        return
    if yes.command == "allow" and theirs[0].origin == PERSON:  # `allow` is meant for the person's own secrets
        note(f"{name} was stored outside any project.")
        return
    line = f"{name} was {_stored(theirs[0])}."
    apart = _own_scope(person)
    hint_at_main(person)
    if yes.given:
        yes.require_person(f"`{yes.command} --yes` for a secret that was stored elsewhere")
        return
    refusal = DeniedError(Code.NOT_TRUSTED, line, f"To do it anyway, add --yes. {apart}".rstrip())
    ask([line, *([apart] if apart else [])], question, refusal)


def require_names(person: Person, pattern: str, yes: Yes) -> list[str]:
    """Show the stored names that a pattern covers, ask before granting other projects' secrets, and return the names.

    If a pattern covers every name, the person must always answer, even if no secret is stored.

    Raises:
        DeniedError: for the same reasons as `require_name`.
    """
    names = [
        one.name for one in secrets.list_all(person) if one.scope == person.scope and glob_match(pattern, one.name)
    ]
    theirs = {each.name: each for each in others_secrets.of_others(person, names)}
    note(f"{pattern} covers {counted(len(names), 'stored secret')}{':' if names else '.'}")
    for name in names:
        note(f"  {name}, {_stored(theirs[name]) if name in theirs else 'which this project can already use'}")
    others = f"{sum(each.origin != PERSON for each in theirs.values())} of them from other projects"
    everything = not pattern.strip("*?") and "*" in pattern
    if not (everything or any(each.origin != PERSON for each in theirs.values())):
        return names
    if yes.given:
        yes.require_person(f"`{yes.command} --yes` for secrets that were stored elsewhere")
        return names
    if everything:
        what = f"{pattern} covers every name: {counted(len(names), 'secret')}, {others}, and all names stored later"
        question = f"Let {here(person)} use {counted(len(names), 'secret')}, {others}, and allowlist every later name?"
    else:
        what = f"{pattern} covers {counted(len(names), 'secret')}, {others}"
        question = f"Let {here(person)} use {counted(len(names), 'secret')} matching {pattern}, {others}?"
    ask([], question, DeniedError(Code.NOT_TRUSTED, f"{what}.", "To do it anyway, add --yes"))
    return names


def require_scope(person: Person, yes: Yes) -> None:
    """Ask before a command uses other projects' secrets only because the project's file names their scope.

    Raises:
        DeniedError: for the same reasons as `require_name`.
    """
    theirs = others_secrets.in_claimed_scope(person)
    if not theirs:
        return
    if yes.given:
        if yes.command in _LASTING:
            yes.require_person(f"`{yes.command} --yes` in a scope that other projects use")
        return
    number = counted(len(theirs), "secret")
    claimed = f"This project's secrets.yml says `scope: {person.scope}`. That scope has {number} stored elsewhere"
    once = f"To use the scope only this time, name it yourself: --scope {person.scope}"
    refusal = DeniedError(Code.NOT_TRUSTED, f"{claimed}.", f"To review and decide: {command()} trust. {once}")
    hint_at_main(person)
    question = f"Let {here(person)} use the scope {person.scope}, with {number} stored elsewhere, from now on?"
    ask([f"{claimed}:", *_listed(theirs), once], question, refusal)

    def claim() -> None:
        trust.grant_scope(person)
        note(f"This project can use the scope from now on. To undo this: {command()} revoke --all")

    after_success(claim)  # the person can still cancel the whole command at a later question


def require_references(person: Person, names: Sequence[str], files: Sequence[Path], yes: Yes) -> None:
    """Ask before a program or a shell gets secrets that a file names but the command line does not.

    Outside a project, a file is treated as the person's own only if it is directly in their home directory.

    Raises:
        DeniedError: NOT_TRUSTED if nobody can be asked.
    """
    anywhere = person.project is None and not all(Path(true_path(file)).parent in home_directories() for file in files)
    theirs = others_secrets.of_others(person, names, also_the_persons=anywhere)
    if not theirs or yes.given:
        return
    listed = ", ".join(each.name for each in theirs)
    place = "was not stored in this project" if person.project else "was stored in another project"
    if anywhere:
        place = "is used outside of a project"
    refusal = DeniedError(
        Code.NOT_TRUSTED,
        f"The file names {listed}, which {place}. This needs your consent, but you cannot be asked here.",
        f"To allow it only this time, add --yes. {_for_good(person, theirs, anywhere=anywhere)}".rstrip(),
    )
    hint_at_main(person)
    what = theirs[0].name if len(theirs) == 1 else counted(len(theirs), "secret")
    file = " and ".join(short(str(file.absolute())) for file in files)
    why = "There is no project here. Named" if anywhere else "Stored elsewhere, and named"
    ask([f"{why} in {file}: {what}.", *_listed(theirs)], f"Let this command use {what} for {file}?", refusal)
    if advice := _for_good(person, theirs, anywhere=anywhere):
        note(advice)


def whose(person: Person, name: str) -> str:
    """Return a sentence for a question that says where a secret was stored; empty if the project may use the secret."""
    theirs = others_secrets.of_others(person, [name])
    return f" It was {_stored(theirs[0])}." if theirs else ""


def _for_good(person: Person, theirs: Sequence[SecretFromElsewhere], *, anywhere: bool) -> str:
    """Return advice on how to stop this question from being asked, with a warning about what that allows."""
    if person.project is None and not anywhere:  # the home directory cannot become a project
        return ""
    name = theirs[0].name if len(theirs) == 1 else "NAME"
    begin = "" if person.project else f"{command()} init, then "
    return f"To stop being asked (this project's agents can then use the secret, too): {begin}{command()} allow {name}"


def _listed(theirs: Sequence[SecretFromElsewhere]) -> list[str]:
    return [f"  {each.name}, {_stored(each)}" for each in theirs]


def _stored(theirs: SecretFromElsewhere) -> str:
    who = " by an agent" if theirs.by_agent else ""
    where = "outside any project" if theirs.origin == PERSON else f"in {short(theirs.origin)}"
    users = [short(user) for user in theirs.users[:_USERS_SHOWN]]
    if len(theirs.users) > _USERS_SHOWN:
        users.append(f"{len(theirs.users) - _USERS_SHOWN} more")
    return f"stored{who} {where}" + (f"; also used by {', '.join(users)}" if users else "")


def _own_scope(person: Person) -> str:
    if person.project is None:
        return ""
    file = Path(person.project.path) / ".claude" / "secrets.yml"
    return f"To keep this project's secrets apart from others, add a line `scope: NAME` to {file}"
