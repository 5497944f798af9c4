"""Shows the person everything that belongs to the store, asks twice, and removes the store.

Always: nothing is changed before both answers. Without a terminal, `--yes` answers the first question only if the
configuration lets scripts do it, and the second answer must come on standard input. No other answer removes anything.
"""

from collections.abc import Iterator
from typing import Final

from claude_secrets.cli.asking import agreed, first_line, is_at_terminal
from claude_secrets.cli.listing import short
from claude_secrets.cli.old_copies import described
from claude_secrets.cli.opening import Invocation, find_project, scripts_may, the_person
from claude_secrets.cli.output import counted, flush, hint, note, say, warn
from claude_secrets.cli.presence import require
from claude_secrets.cli.times import date
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.model import SHARED
from claude_secrets.paths import command
from claude_secrets.person import holdings, removal
from claude_secrets.person.holdings import Counts, Holdings
from claude_secrets.person.removal import Removed
from claude_secrets.shell_words import removal as removal_of
from claude_secrets.untrusted_text import plain

_WORD: Final = "remove"
"""The second answer if the number of secrets is not known."""


def purge_store(invocation: Invocation, *, yes: bool) -> bool:
    """Show what belongs to the store, ask twice, and remove it. Return False if the person refused.

    If there is no store, say so and return True. `yes` is whether `--yes` was given, which answers the first question
    only.

    Raises:
        CallerError: INVALID_ARGUMENTS if nobody can answer.
        DeniedError: PERSON_ONLY if a script runs it and the configuration does not allow that.
        CustodyError: the keyring is locked, or an entry cannot be deleted.
        StoreError: the file is no store of the person's, or cannot be removed.
    """
    _require_answers(invocation, yes=yes)
    person = the_person(invocation, find_project(invocation), SHARED)
    found = holdings.describe(person)
    if found.is_empty:
        say(f"There is no store at {found.path}.")
        return True
    for line in _lines(found):
        note(line)
    if not agreed(_question(found), yes=yes) or not _confirmed(found):
        say("Nothing was changed.")
        return False
    try:
        removed = removal.remove_store(person, found)
    except KeyboardInterrupt:
        warn("the removal was interrupted and may be incomplete; to finish it, run the same command again")
        raise
    _tell(found, removed)
    return True


def _require_answers(invocation: Invocation, *, yes: bool) -> None:
    """Refuse before anything is read if the two questions cannot be answered here."""
    if is_at_terminal():
        return
    if not yes:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            "Removing the store needs two answers, and nobody can be asked here.",
            "In a script, add --yes for the first answer, and pass the number of secrets on standard input as the "
            f"second (or the word `{_WORD}` if no key opens the store).",
        )
    require("`uninstall --purge-store`", lambda: scripts_may(invocation))


def _lines(found: Holdings) -> Iterator[str]:
    """Yield a line for each thing that the removal takes away or leaves."""
    when = "" if found.changed is None else f" (last changed {date(int(found.changed))})"
    yield f"This removes the store {found.path}{when}:"
    if found.real != found.path:
        yield f"- the path is a link to {found.real}; the link and the file are removed"
    if found.number is None:
        yield f"- its file {found.real} is missing (perhaps its disk is not connected)"
    elif found.counts is not None:
        yield f"- {_secrets(found.counts)}, with all grants and the log"
    else:
        yield f"- all its secrets, grants and the log; their number is unknown: {_reason(found.failure)}"
    for entry in found.entries:
        if entry.failure is None:
            yield f"- its key in the system's keyring (claude-secrets, {entry.name})"
    for copy in found.copies:
        yield f"- a copy of the store: {described(copy)}"
    for path in found.leftovers:
        yield f"- a file that is left from the store: {path}"
    yield "This stays:"
    for name in (entry.name for entry in found.entries if entry.failure is not None):
        yield f"- the entry {name} of claude-secrets in the system's keyring, which cannot be reached here"
    for path in found.unread:
        yield f"- keys that only the unreadable part of {path} names"
    for path in found.key_files:
        yield f"- the key file {path}: another store may use it"
    for copy in found.unproven:
        yield f"- {described(copy)}, which is named like a copy of the store but cannot be opened"
    yield "- projects' allowlists (.claude/secrets.yml), your config.yml and policy.yml, and backups made elsewhere"


def _question(found: Holdings) -> str:
    """Return the first question. It is complete without the lines above it."""
    path = short(str(found.path))
    number = len(found.copies)
    others = f" and {number} old {'copy' if number == 1 else 'copies'}" if number else ""
    if found.number is None:
        return f"Remove what is left of the store {path}, whose file is missing{others}? This cannot be undone."
    backup = f"To make a backup first: {command()} backup FILE."
    what = f"with {_secrets(found.counts)}" if found.counts else "with all its secrets, although it was not opened"
    return f"Permanently remove the store {path}, {what}{others}? This cannot be undone. {backup}"


def _confirmed(found: Holdings) -> bool:
    """Ask for the number of secrets, or for a word if it is not known. Return whether the answer is exactly that."""
    from claude_secrets.prompt import terminal

    path = short(str(found.path))
    expected, what = _WORD, f"the word `{_WORD}`"
    if found.counts is not None:
        expected, what = str(found.counts.secrets), "the number of its secrets"
    flush()
    if is_at_terminal():
        typed = terminal.ask(f"To remove the store {plain(path)}, type {what}: ", hidden=False)
    else:
        typed = first_line(0, f"second answer ({what})")
    return typed.strip() == expected


def _secrets(counts: Counts) -> str:
    deleted = f" ({counts.deleted} deleted)" if counts.deleted else ""
    return f"{counted(counts.secrets, 'secret')}{deleted} and {counted(counts.versions, 'version')}"


def _reason(failure: SecretsError | None) -> str:
    return "the store was not opened" if failure is None else failure.message


def _tell(found: Holdings, removed: Removed) -> None:
    """Say what was removed and what is left."""
    for path in removed.files:
        say(f"Removed {path}.")
    for name in removed.entries:
        say(f"Removed the keyring entry {name} of claude-secrets.")
    say("The store's log was removed, too, so no log records this removal.")
    for name in removed.entries_left:
        warn(f"the entry {name} of claude-secrets may still be in the system's keyring")
    for path in found.unread:
        warn(f"the keys of {path} could not be read; look for entries of claude-secrets in the system's keyring")
    for path in found.key_files:
        hint(f"the key file was not removed, because another store may use it; if no store does: {removal_of(path)}")
    for copy in found.unproven:
        warn(f"{described(copy)} is named like a copy of the store but cannot be opened; check this file yourself")
    hint("allowlists, config.yml and policy.yml were not changed; backups and copies that you made elsewhere stay")
    hint("restart running clients: until then, their calls to Claude Secrets fail")
    hint("a client that is still registered makes a new store when an agent stores a secret")
