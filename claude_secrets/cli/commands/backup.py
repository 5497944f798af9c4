"""`backup`: write all secrets to a file that a passphrase protects, verify a backup, or restore a store from it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from claude_secrets.cli.asking import new_passphrase, passphrase, require_yes
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import Invocation, existing_person, find_project, invocation_of, the_person
from claude_secrets.cli.output import counted, hint, progress, say, warn
from claude_secrets.errors import CallerError, Code, CustodyError, StoreError
from claude_secrets.exit_codes import FAILED
from claude_secrets.keys.unopened import is_lost
from claude_secrets.model import SHARED
from claude_secrets.paths import command, expanded
from claude_secrets.person import backups
from claude_secrets.person.backups import BackupContents
from claude_secrets.person.person import Person
from claude_secrets.policy.ownership import quoted


def add_arguments(parser: ArgumentParser) -> None:
    """Add FILE, which may follow the word `restore`, and the options to the parser."""
    parser.usage = "%(prog)s [--verify] FILE | %(prog)s restore FILE [--aside]"
    parser.add_argument(
        "words",
        metavar="FILE",
        nargs="+",
        help="the backup to write; restore FILE: fill an empty store from this backup",
    )
    parser.add_argument(
        "--verify", action="store_true", help="check that every record of the backup FILE opens; change nothing"
    )
    parser.add_argument(
        "--aside",
        action="store_true",
        help="with restore: rename the existing store first",
    )
    parser.add_argument("--key-file", metavar="PATH", help="with restore: keep the new store's key in this new file")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--backup-passphrase-fd", metavar="N", type=int, help="read the backup's passphrase from this file descriptor"
    )


def loosens(options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return bool(not options.verify)


def run(options: Namespace) -> int:
    """Write, verify or restore a backup."""
    *verbs, file = options.words
    if verbs not in ([], ["restore"]) or (verbs and options.verify) or (file in _WORDS and not verbs):
        raise _misunderstood(options.words, verify=options.verify)
    path, descriptor = expanded(file), options.backup_passphrase_fd
    invocation = invocation_of(options)
    if verbs:
        return _restore(
            path,
            invocation,
            descriptor,
            key_file=options.key_file,
            aside=options.aside,
        )
    if options.verify:
        backups.require(path)
        contents = backups.verify_backup(path, passphrase("Passphrase of the backup", descriptor))
        say(f"The backup is intact: every record opens ({_counted(contents)}).")
        return 0
    return _make(path, invocation, descriptor)


_WORDS: Final = {
    "create": ("make", "backup FILE"),
    "make": ("make", "backup FILE"),
    "verify": ("verify", "backup --verify FILE"),
    "check": ("verify", "backup --verify FILE"),
    "restore": ("restore", "backup restore FILE"),
}
"""Words that are not taken as a file's name, and what the person probably means by each."""


def _misunderstood(words: Sequence[str], *, verify: bool) -> CallerError:
    """Return the error for words that are not one file, or `restore` and one file."""
    meant = _WORDS.get(words[0])
    if verify and words[0] == "restore":
        message = "`--verify` cannot be used with `restore`, which verifies the backup first."
    elif meant and len(words) == 1:
        message = f"The name of the file is missing. For a file that is named `{words[0]}`, write ./{words[0]}"
    elif meant and len(words) == 2:
        message = f"`backup` has no verb `{words[0]}`."
    else:
        message = "`backup` takes one file, or the word `restore` and one file."
        meant = meant if words[0] == "restore" else None
    purpose, form = meant or ("make", "backup FILE")
    return CallerError(Code.INVALID_ARGUMENTS, message, f"To {purpose} a backup: {command()} {form}")


def _make(path: Path, invocation: Invocation, descriptor: int | None) -> int:
    backups.refuse_taken(path)
    person = existing_person(invocation)
    with suppress(StoreError):  # `backups.make` can also read a read-only store
        person.store.require_key()
    secret = new_passphrase("the backup", descriptor)
    with progress("copying") as tell:
        contents = backups.make(person, path, secret, tell)
    say(f"Wrote {path}: {_counted(contents)}. The backup does not contain grants or the log.")
    for line in contents.wrong:
        warn(line)
    if not contents.logged:
        warn("the store cannot be written to, so its log has no entry for this backup")
    hint(
        f"keep the passphrase: nothing else opens the backup; to verify it: {command()} backup --verify {quoted(path)}"
    )
    if contents.wrong:
        hint(
            "the store is damaged, so the backup contains only the records that open. "
            f"To make a new store from the backup: {command()} backup restore FILE --aside"
        )
    return FAILED if contents.wrong else 0


def _restore(path: Path, invocation: Invocation, descriptor: int | None, *, key_file: str | None, aside: bool) -> int:
    backups.require(path)
    person = the_person(invocation, find_project(invocation), SHARED)
    _require_target(person, key_file, aside=aside)
    secret = passphrase("Passphrase of the backup", descriptor)
    verified = backups.verify_backup(path, secret)
    fill = partial(_fill, path=path, secret=secret, key_file=key_file)
    if aside and person.store.exists():
        begin = f"make a new store with {_counted(verified)} from {short(str(path))}"
        question = f"Rename the store {short(str(person.store.path))}, and {begin}?"
        require_yes(question, yes=invocation.yes)
        contents = _restore_beside(person, invocation, fill)
    else:
        contents = fill(person)
    say(f"Restored {_counted(contents)} into {person.store.path}.")
    hint("grants were not restored: projects must ask you again for secrets that they did not store themselves")
    return 0


def _require_target(person: Person, key_file: str | None, *, aside: bool) -> None:
    """Check that the store to restore into is empty and has a key, or that a new store has a place for its key.

    Raises:
        CallerError: INVALID_ARGUMENTS if the store holds secrets, or `key_file` cannot be made.
        CustodyError: no key opens the store, or the keyring does not work.
    """
    store = person.store
    if not store.exists() or aside:
        if key_file or store.custody.named_file is None:
            other = "Or keep the new store's key in a file: add --key-file NEW_PATH to this command."
            place = expanded(key_file) if key_file else None
            store.custody.require_place(place, store.path, other=other)
        return
    try:
        store.unlock()
    except CustodyError as error:
        if not is_lost(error):
            raise
        into = " --key-file NEW_PATH" if not (key_file or store.custody.keyring_status().ok) else ""
        keeping = "The restored secrets then get a new store, and the old store is renamed."
        raise error.with_hint(f"Add --aside{into} to this command. {keeping}") from None
    backups.refuse_filled(person)


def _fill(person: Person, path: Path, secret: str, key_file: str | None) -> BackupContents:
    if key_file and not person.store.exists():
        person.store.create_with_key_file(expanded(key_file))
    with progress("restoring") as tell:
        return backups.restore_backup(person, path, secret, tell)


def _restore_beside(person: Person, invocation: Invocation, fill: Callable[[Person], BackupContents]) -> BackupContents:
    """Fill a new store, then rename the old store and move the new store to the old path."""
    backups.fold_log_or_refuse(person.store)
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    new = the_person(invocation, find_project(invocation), SHARED, at=backups.beside(person.store.path, stamp))
    done = False
    try:
        contents = fill(new)
        aside = backups.take_place(person.store, new.store, stamp)
        done = True
    finally:
        if not done:
            backups.discard(new.store)
    say(f"The old store is now {aside}.")
    return contents


def _counted(contents: BackupContents) -> str:
    return f"{counted(contents.secrets, 'secret')}, {counted(contents.versions, 'version')}"
