"""`init`: make a project's allowlist, and choose where to keep the store's key."""

import os
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path

from claude_secrets.atomic_file import make_private
from claude_secrets.cli.asking import ask, new_passphrase
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import Invocation, call_origin, find_project, invocation_of, open_store
from claude_secrets.cli.output import hint, say, warn
from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError, StoreError
from claude_secrets.keys.passphrase import check, known_words
from claude_secrets.keys.slot import PASSPHRASE
from claude_secrets.paths import command, expanded, home_directories
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.allowlist_edit import TEMPLATE
from claude_secrets.policy.project import CallOrigin, locate, real_path
from claude_secrets.shell_words import quoted


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
    """Ask all questions. Then make the allowlist if it is missing, and the store if an option chooses its key."""
    if options.key_file and options.passphrase:
        raise CallerError(
            Code.INVALID_ARGUMENTS, "Choose --key-file or --passphrase; to add a second key later, use `key`."
        )
    key_file = None if options.key_file is None else expanded(options.key_file)
    chosen = key_file is not None or options.passphrase
    invocation = invocation_of(options)
    directory = _directory(invocation, chosen=chosen)
    if directory is not None and not options.here:
        _ask_before_hiding(directory)
    if chosen:
        _refuse_another(invocation)
    text = _passphrase(directory, options.new_passphrase_fd) if options.passphrase else None
    missing = None if chosen else _what_opens_nothing(invocation)
    if directory is not None:
        _make_allowlist(directory)
    if key_file is not None:
        _make_key_file(invocation, key_file)
    if text is not None:
        store = open_store(invocation, find_project(invocation))
        store.create_with_passphrase(text)
        say(f"Made the store {store.path}. Without the passphrase, nobody can open it.")
    _say_next(invocation, directory, missing)
    return 0


def _directory(invocation: Invocation, *, chosen: bool) -> Path | None:
    """Return the project's directory, or None if no project can be here and only a store is made."""
    where = call_origin(invocation)
    directory = Path(real_path(where.argument or where.working_directory))
    if any(home.is_relative_to(directory) for home in home_directories()):
        if invocation.project or not chosen:
            raise DeniedError(
                Code.NO_PROJECT,
                "Your home directory and the directories above it cannot be projects.",
                "Change to the project's directory, or name that directory with --project.",
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


def _make_allowlist(directory: Path) -> None:
    file = directory / ".claude" / "secrets.yml"
    if allowlist_file.create(directory, TEMPLATE.encode()):
        say(f"Made {file}: nothing is allowed yet.")
    else:
        say(f"{file} already exists; it was not changed.")


def _make_key_file(invocation: Invocation, key_file: Path) -> None:
    store = open_store(invocation, find_project(invocation))
    with suppress(OSError):  # making the key file reports this error
        make_private(key_file.parent)
    store.create_with_key_file(key_file)
    say(f"Made the store {store.path} with its key in {key_file}.")
    say("Keep a copy of the key file in a safe place: without the file, nobody can open the store.")


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


def _say_next(invocation: Invocation, directory: Path | None, missing: tuple[str, str] | None) -> None:
    typed = " ".join([command(), *_repeated(invocation)])
    if missing is None:
        if directory is None:
            say(f"Next, in a project's directory: {typed} init")
        else:
            say(f"Next: {typed} allow NAME, then {typed} set NAME")
        return
    why, remedy = missing
    if open_store(invocation, None).exists():
        warn(f"the store cannot be opened here, so no secret can be allowed or stored yet: {why}")
        hint(remedy)
        return
    warn(f"there is no place yet to keep the store's key: {why}")
    say("Next, choose where to keep the key, and run one of these commands:")
    say(f"  {typed} init --key-file ~/claude-secrets.key")
    say("      keeps the key in a file, which your clients' servers also read")
    say(f"  {typed} init --passphrase")
    say("      keeps no key: you type a passphrase for each command, and servers read it with --passphrase-fd")
    say(f"Or use a keyring. {remedy}")
    say(f"Then: {typed} allow NAME, and {typed} set NAME")


def _repeated(invocation: Invocation) -> list[str]:
    """Return those options of this command that the next commands need, too."""
    words = []
    for name, value in (("project", invocation.project), ("store", invocation.store)):
        if value:
            words += [f"--{name}", quoted(value)]
    return words
