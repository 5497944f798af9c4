"""`backup`: all secrets in one file that a passphrase opens; looking into one; a store made from one."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path

from claude_secrets import backups
from claude_secrets.backups import Contents
from claude_secrets.cli.common import existing_person, find_project, new_passphrase, passphrase, the_person
from claude_secrets.cli.delete import require_yes
from claude_secrets.cli.output import hint, progress, say, warn
from claude_secrets.errors import CallerError, Code
from claude_secrets.model import SHARED
from claude_secrets.paths import command


def add_arguments(parser: ArgumentParser) -> None:
    """Take a file, or `restore` and a file."""
    parser.usage = "%(prog)s [--verify] FILE | %(prog)s restore FILE [--aside]"
    parser.add_argument("words", metavar="FILE", nargs="+", help="where to; restore FILE: put it into an empty store")
    parser.add_argument("--verify", action="store_true", help="open every record of that backup, and change nothing")
    parser.add_argument(
        "--aside",
        action="store_true",
        help="restore: give the store that is there another name first",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--backup-passphrase-fd", metavar="N", type=int, help="read the backup's passphrase from this file descriptor"
    )


def run(options: Namespace) -> int:
    """Write a backup, look into one, or restore one."""
    *verbs, file = options.words
    if verbs not in ([], ["restore"]) or (verbs and options.verify) or (file == "restore" and not verbs):
        raise CallerError(Code.INVALID_ARGUMENTS, "That is not how backups are made.", "backup --help")
    path = Path(file).expanduser().absolute()
    if verbs:
        return _restore(path, options)
    if options.verify:
        backups.require(path)
        contents = backups.verify(path, passphrase("the backup", options.backup_passphrase_fd))
        say(f"The backup is whole: {_counted(contents)}, each of which opens.")
        return 0
    return _make(path, options)


def _make(path: Path, options: Namespace) -> int:
    backups.refuse_taken(path)
    person = existing_person(options)
    secret = new_passphrase("the backup", options.backup_passphrase_fd)
    with progress("copying") as tell:
        contents = backups.make(person, path, secret, tell)
    say(f"Wrote {path}: {_counted(contents)}. Grants and the log stay here.")
    for line in contents.wrong:
        warn(line)
    if not contents.logged:
        warn("the store takes no notes, so its log does not tell of this")
    if contents.wrong:
        hint(f"the store is damaged; the backup holds all that opens: {command()} backup restore FILE --aside")
    return int(bool(contents.wrong))


def _restore(path: Path, options: Namespace) -> int:
    backups.require(path)
    secret = passphrase("the backup", options.backup_passphrase_fd)
    backups.verify(path, secret)
    person = the_person(options, find_project(options), SHARED)
    aside = None
    if options.aside and person.store.exists():
        require_yes("Give the store that is there another name, and begin a new one from the backup?", options)
        aside = backups.set_aside(person.store, f"aside-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        with progress("restoring") as tell:
            contents = backups.restore(person, path, secret, tell)
    except BaseException:
        if aside is not None:
            backups.put_back(person.store, aside)
        raise
    if aside is not None:
        say(f"The store that was there is {aside} now.")
    say(f"Restored {_counted(contents)} into {person.store.path}.")
    hint("grants did not come along: projects ask again for what is not their own")
    return 0


def _counted(contents: Contents) -> str:
    def number(count: int, what: str) -> str:
        return f"{count} {what}{'s' * (count != 1)}"

    return f"{number(contents.secrets, 'secret')}, {number(contents.versions, 'version')}"
