"""`init`: make a project's allowlist, and choose where to keep the store's key."""

import os
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path

from claude_secrets.atomic_file import make_private
from claude_secrets.cli import guide
from claude_secrets.cli.asking import ask, is_at_terminal, new_passphrase
from claude_secrets.cli.init_key import KeyPlace, ask_for_key_place
from claude_secrets.cli.init_next import NextSteps
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import Invocation, call_origin, find_project, invocation_of, open_store
from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError, StoreError
from claude_secrets.keys.passphrase import check, known_words
from claude_secrets.keys.slot import PASSPHRASE
from claude_secrets.paths import command, expanded, home_directories
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.allowlist import read_allowlist
from claude_secrets.policy.allowlist_edit import TEMPLATE
from claude_secrets.policy.project import CallOrigin, locate, place_at, real_path


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--here`, and the options for keeping the key, to the parser."""
    parser.add_argument(
        "--here", action="store_true", help="make a separate project in a directory that belongs to another project"
    )
    parser.add_argument(
        "--key-file", metavar="PATH", help="create the store and keep its key in this new file, not in the OS keyring"
    )
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="create the store and open it with a passphrase instead of a key in the keyring",
    )
    parser.add_argument(
        "--new-passphrase-fd", metavar="N", type=int, help="read the new passphrase from this file descriptor"
    )


def run(options: Namespace) -> int:
    """Ask all questions. Then make the allowlist if it is missing, and the store if its key has a place."""
    if options.key_file and options.passphrase:
        raise CallerError(
            Code.INVALID_ARGUMENTS, "Choose --key-file or --passphrase; to add a second key later, use `key`."
        )
    key_file = None if options.key_file is None else expanded(options.key_file)
    place = KeyPlace(key_file, by_passphrase=options.passphrase)
    invocation = invocation_of(options)
    directory = _directory(invocation, chosen=place.is_decided)
    if directory is not None and not options.here:
        _ask_before_hiding(directory)
    if place.is_decided:
        _refuse_another(invocation)
    missing = None if place.is_decided else _what_opens_nothing(invocation)
    asks = missing is not None and is_at_terminal() and guide.is_shown() and not open_store(invocation, None).exists()
    if asks and missing is not None:
        place = ask_for_key_place(*missing)
    text = _passphrase(directory, options.new_passphrase_fd) if place.by_passphrase else None
    _make(invocation, directory, place, text)
    _say_next(invocation, directory, None if place.is_decided else missing, was_asked=asks)
    return 0


def _make(invocation: Invocation, directory: Path | None, place: KeyPlace, passphrase: str | None) -> None:
    """Make the allowlist and then the store. If the store cannot be made, a new allowlist is removed again."""
    had_directory = directory is not None and (directory / ".claude").is_dir()
    is_new = directory is not None and allowlist_file.create(directory, TEMPLATE.encode())
    said = list[str]()
    try:
        if place.file is not None:
            said = _make_key_file(invocation, place.file)
        elif passphrase is not None:
            store = open_store(invocation, find_project(invocation))
            store.create_with_passphrase(passphrase)
            said = [f"Made the store {_shown(store.path)}. Without the passphrase, nobody can open it."]
    except BaseException:  # also Ctrl-C
        if directory is not None and is_new:
            allowlist_file.discard(directory, TEMPLATE.encode(), keep_directory=had_directory)
        raise
    if directory is not None:
        _say_made(directory, is_new=is_new)
    for line in said:
        guide.paragraph(line)


def _directory(invocation: Invocation, *, chosen: bool) -> Path | None:
    """Return the project's directory, or None if no project can be here and only a store is made."""
    where = call_origin(invocation)
    directory = Path(real_path(where.argument or where.working_directory))
    if any(home.is_relative_to(directory) for home in home_directories()):
        if invocation.project or not chosen:
            raise DeniedError(
                Code.NO_PROJECT,
                "Your home directory and the directories above it cannot be projects.",
                "A project is the directory in which you start your agent, such as a git repository. Go there and run "
                f"it again: cd DIRECTORY && {command()} init",
            )
        return None
    if not directory.is_dir():
        raise CallerError(Code.INVALID_ARGUMENTS, "The project's directory does not exist.")
    return directory


def _refuse_another(invocation: Invocation) -> None:
    """Raise `StoreError` STORE_UNAVAILABLE if there is a store. If no key opens it, say how to open it."""
    store = open_store(invocation, None)
    if store.exists() and (nothing := _what_opens_nothing(invocation)) is not None:
        why, remedy = nothing
        message = f"A store already exists at {store.path}, and no key opens it here: {why}"
        raise StoreError(Code.STORE_UNAVAILABLE, message, f"{remedy} Or choose another path with --store.")
    store.refuse_another()


def _passphrase(directory: Path | None, descriptor: int | None) -> str:
    words = known_words() if directory is None else known_words(directory)
    return check(new_passphrase("the store", descriptor), words)


def _ask_before_hiding(directory: Path) -> None:
    """Ask before making a separate project in a directory that belongs to another project.

    Raises:
        CallerError: INVALID_ARGUMENTS if nobody can be asked.
    """
    if os.path.lexists(directory / ".claude" / "secrets.yml"):
        return
    where = CallOrigin(argument=None, environment=None, root=None, working_directory=directory)
    try:
        outer = short(str(locate(where, homes=home_directories()).path))
    except DeniedError as error:
        if error.code is not Code.NO_PROJECT:
            raise
        return
    belongs = f"{short(str(directory))} belongs to the project {outer}"
    use = f"To work in that project, no init is needed: {command()} allow NAME."
    own = f"To make a separate project here: {command()} init --here"
    question = f"Make a second project in {short(str(directory))}, to which the allowlist of {outer} does not apply?"
    ask([f"{belongs}.", use], question, CallerError(Code.INVALID_ARGUMENTS, f"{belongs}.", f"{use} {own}"))


def _say_made(directory: Path, *, is_new: bool) -> None:
    file = _shown(directory / ".claude" / "secrets.yml")
    if not is_new:
        guide.paragraph(f"{file} already exists; it was not changed.")
        try:
            read_allowlist(directory)
        except DeniedError as error:
            guide.caution(f"agents can use no secrets here: [{error.code}] {error.message}")
            if error.hint:
                guide.advice(error.hint)
        return
    top = place_at(directory, home_directories()).work_tree
    can_be_committed = " It contains no values, so you can commit it." if guide.is_shown() and top else ""
    guide.paragraph(f"Made {file}: nothing is allowed yet.{can_be_committed}")
    if guide.is_shown() and top not in (None, directory):
        guide.paragraph(f"It is only for this directory, and not for the rest of the repository in {short(str(top))}.")


def _make_key_file(invocation: Invocation, key_file: Path) -> list[str]:
    store = open_store(invocation, find_project(invocation))
    with suppress(OSError):  # making the key file reports this error
        make_private(key_file.parent)
    store.create_with_key_file(key_file)
    return [
        f"Made the store {_shown(store.path)} with its key in {_shown(key_file)}.",
        "Keep a copy of the key file in a safe place: without the file, nobody can open the store.",
    ]


def _shown(path: Path) -> str:
    """Return a path as it is shown: in full in a pipe, where programs may read it."""
    return short(str(path)) if guide.is_shown() else str(path)


def _what_opens_nothing(invocation: Invocation) -> tuple[str, str] | None:
    """Return the reason why the next commands cannot open or make the store, and a remedy; None if they can."""
    store = open_store(invocation, None)
    if not store.exists():
        status = None if store.custody.named_file is not None else store.custody.keyring_status()
        return None if status is None or status.ok else (f"[{status.code}] {status.message}", status.hint or "")
    try:
        if all(slot.kind != PASSPHRASE or slot.is_recovery for slot in store.slots()):
            store.unlock()
    except SecretsError as error:
        return f"[{error.code}] {error.message}", error.hint or ""
    return None


def _say_next(
    invocation: Invocation, directory: Path | None, missing: tuple[str, str] | None, *, was_asked: bool
) -> None:
    next_steps = NextSteps(invocation, directory)
    next_steps.say_found()
    if missing is None:
        next_steps.say_commands()
    elif open_store(invocation, None).exists():
        next_steps.say_locked(*missing)
    else:
        next_steps.say_key_is_missing(*missing, was_asked=was_asked)
