"""Prints the outcome of `scan` for people and for programs."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from claude_secrets.cli.output import hint, note, say, say_json, table
from claude_secrets.exit_codes import PARTLY_SCANNED, VALUE_FOUND
from claude_secrets.paths import command
from claude_secrets.redaction.contents import IN_NAME, Gap, Seen
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import Reason
from claude_secrets.redaction.leaks import redacted

LISTED: Final = 20
"""The most locations that are shown one by one."""

_WORDS: Final = {
    Reason.UNREADABLE: "it cannot be read",
    Reason.CHANGED: "it was changed or removed while it was being read",
    Reason.DAMAGED: "it is damaged",
    Reason.ENCRYPTED: "it is encrypted",
    Reason.UNSUPPORTED: "its archive format is not supported",
    Reason.TOO_LARGE: "it is an archive with too much content",
    Reason.TOO_DEEP: "it is an archive inside too many other archives",
    Reason.MISSING: "git does not have it, or cannot read it",
    Reason.NOT_FETCHED: "this clone has not fetched it",
    Reason.IN_LFS: "its content is in git LFS, and was not fetched",
    Reason.UNMERGED: "it has a merge conflict, so it has no content to commit yet",
    Reason.NO_ANSWER: "git did not answer",
}


class ScannedPlace(NamedTuple):
    """A location where a value was found, and the name of the secret. `where` contains no values."""

    where: str
    line: int
    name: str


class Unseen(NamedTuple):
    """A location that was not searched, and the reason. `where` contains no values."""

    where: str
    why: Reason


class Outcome(NamedTuple):
    """The locations where values were found, and the locations that could not be searched."""

    found: Sequence[ScannedPlace]
    unseen: Sequence[Unseen]


def told_at(finder: Finder, seen: Seen, path: str, where: str = "") -> list[ScannedPlace | Unseen]:
    """Return the results for the content at `path`. `where` is text to append to the path, such as " (staged)"."""
    return [
        Unseen(redacted(finder, path + one.inside) + where, one.why)
        if isinstance(one, Gap)
        else ScannedPlace(redacted(finder, path + one.inside) + where, one.line, one.name)
        for one in seen
    ]


def outcome(told: Sequence[ScannedPlace | Unseen]) -> Outcome:
    """Collect the results into an `Outcome` without duplicates."""
    each = dict.fromkeys(told)
    return Outcome(
        [one for one in each if isinstance(one, ScannedPlace)], [one for one in each if isinstance(one, Unseen)]
    )


def tell(outcome: Outcome, what: str, *, as_json: bool) -> int:
    """Print an outcome and return the exit code. `what` names the searched values, such as "stored value"."""
    if as_json:
        say_json(
            {
                "found": [one._asdict() for one in outcome.found],
                "not_looked_through": [one._asdict() for one in outcome.unseen],
            }
        )
    else:
        _tell_people(outcome, what)
    if outcome.found:
        names = sorted({one.name for one in outcome.found})
        hint(f"replace these secrets at the services that use them, and in the store: {', '.join(names)}")
        hint(f"to store a new value: {command()} set NAME; the old value remains in git history and transcripts")
        return VALUE_FOUND
    return PARTLY_SCANNED if outcome.unseen else 0


def _tell_people(outcome: Outcome, what: str) -> None:
    if outcome.found:
        rows = [
            (one.where + (f":{one.line}" if one.line != IN_NAME else ", in its name"), one.name)
            for one in outcome.found
        ]
        table([("WHERE", "SECRET"), *rows])
    number = len(outcome.unseen)
    if number:
        note("Not looked through:")
        for one in outcome.unseen[:LISTED]:
            note(f"  {one.where}: {_WORDS[one.why]}")
        if number > LISTED:
            note(f"  and {number - LISTED} more (--json lists all)")
        hint("to exclude paths that you have checked: --skip GLOB")
    places = f"{number} place{'s' * (number != 1)} could not be looked through."
    if outcome.found and number:
        note(places)
    elif not outcome.found:
        say(f"No {what} was found in what could be read; {places}" if number else f"No {what} was found.")
