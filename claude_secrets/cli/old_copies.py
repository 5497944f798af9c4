"""Copies of the store that an upgrade or `backup restore --aside` left: naming and removing them."""

import os
import sys
import time
from argparse import Namespace

from claude_secrets import copies
from claude_secrets.cli.common import find_project, read_settings
from claude_secrets.cli.output import note, say, warn
from claude_secrets.copies import OldCopy
from claude_secrets.paths import default_store, usual_store
from claude_secrets.person import Person


def described(copy: OldCopy) -> str:
    """A copy, with its full path and its age."""
    days = int(max(time.time() - copy.changed, 0) // 86_400)
    return f"{copy.path} (last changed {days} day{'s' * (days != 1)} ago)"


def to_remove(person: Person, options: Namespace) -> list[OldCopy]:
    """Name the copies and ask whether they are to go, before the command changes anything; returns those that are."""
    found = copies.find(person.store.path)
    for copy in found:
        if copy.store_id is None:
            warn(f"{described(copy)} is named as a copy of the store but does not open as one; look at it yourself")
    proven = [copy for copy in found if copy.store_id is not None]
    for copy in proven:
        note(f"A copy of the store: {described(copy)}")
    if not proven or _agreed(options):
        return proven
    warn("the copies stay, with everything that was in the store then, for whoever has a key from then")
    return []


def remove(person: Person, old: list[OldCopy], options: Namespace) -> None:
    """Remove copies with what only they use; say what stays."""
    staying = list(old)
    for copy in old:
        staying.remove(copy)
        _remove(person, copy, staying, options)


def _remove(person: Person, copy: OldCopy, staying: list[OldCopy], options: Namespace) -> None:
    known = [usual_store(read_settings(options, find_project(options)).usual_store), default_store()]
    removed = copies.remove(person, copy, [*known, *(each.path for each in staying)], os.environ)
    say(f"Removed {copy.path}.")
    for path in removed.key_files:
        say(f"Removed its key file {path}.")
    if removed.entries:
        say("Removed its key from the keyring.")
    if removed.kept is not None:
        warn(f"its keys stay where they are: {removed.kept.message}")


def _agreed(options: Namespace) -> bool:
    from claude_secrets.human.terminal import confirm

    if options.yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    return confirm("Remove these copies, and the keys that only they use?")
