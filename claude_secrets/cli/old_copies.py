"""Shows the person the old copies of the store, and asks before removing them."""

import time

from claude_secrets.cli.asking import agreed
from claude_secrets.cli.output import hint, note, say, warn
from claude_secrets.person import old_copies
from claude_secrets.person.old_copies import OldCopy
from claude_secrets.person.person import Person
from claude_secrets.shell_words import removal


def described(copy: OldCopy) -> str:
    """Describe a copy by its full path and age."""
    days = int(max(time.time() - copy.changed, 0) // 86_400)
    return f"{copy.path} (last changed {days} day{'s' * (days != 1)} ago)"


def ask_which_to_remove(person: Person, *, yes: bool) -> list[OldCopy]:
    """Show the copies, ask whether to remove them, and return the copies to remove.

    Call this function before the command changes anything.
    """
    copied = old_copies.list_copies(person.store.path)
    for copy in copied:
        if copy.store_id is None:
            warn(f"{described(copy)} is named like a copy of the store but cannot be opened; check this file yourself")
    proven = [copy for copy in copied if copy.store_id is not None]
    for copy in proven:
        note(f"A copy of the store: {described(copy)}")
    one = len(proven) == 1
    question = "Remove this copy of the store?" if one else f"Remove these {len(proven)} copies of the store?"
    if not proven or agreed(question, yes=yes):
        return proven
    kept = "the copy was" if one else "the copies were"
    warn(f"{kept} not removed: anyone with a key from the time of a copy can read everything in that copy")
    return []


def remove_copies(person: Person, old: list[OldCopy]) -> None:
    """Remove the copies, and print a hint for each of their key files that was not removed."""
    for copy in old:
        left = old_copies.key_files(copy, person.store)
        old_copies.remove_copy(copy)
        say(f"Removed {copy.path}.")
        for path in left:
            fix = removal(path)
            hint(f"the copy's key file was not removed, because another store may use it; if no store does: {fix}")
