"""`init`: make a project's allowlist, and choose a key file where there is no keyring."""

from argparse import ArgumentParser, Namespace
from contextlib import suppress

from claude_secrets.allowlist_edit import TEMPLATE
from claude_secrets.cli import allowlist_file
from claude_secrets.cli.common import find_project, new_passphrase, open_store, whereabouts
from claude_secrets.cli.output import say
from claude_secrets.draft_file import make_private
from claude_secrets.errors import CallerError, Code, DeniedError
from claude_secrets.passphrase import check
from claude_secrets.paths import command, expanded, home_directories
from claude_secrets.person import Person


def add_arguments(parser: ArgumentParser) -> None:
    """Take `--key-file`."""
    parser.add_argument(
        "--key-file", metavar="PATH", help="make the store with its key in this new file, not in the OS keyring"
    )
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="make the store with a passphrase that opens it, not with a keyring",
    )
    parser.add_argument(
        "--new-passphrase-fd", metavar="N", type=int, help="read that passphrase from this file descriptor"
    )


def run(options: Namespace) -> int:
    """Make what is missing."""
    if options.key_file and options.passphrase:
        raise CallerError(Code.INVALID_ARGUMENTS, "Choose one of --key-file and --passphrase; add the other with key.")
    where = whereabouts(options)
    directory = (where.argument or where.working_directory).resolve()
    if any(home.is_relative_to(directory) for home in home_directories()):
        if options.project or not (options.key_file or options.passphrase):
            raise DeniedError(
                Code.NO_PROJECT,
                "Your home directory and those above it are never a project.",
                "Go to the project's directory, or name it with --project.",
            )
    elif not directory.is_dir():
        raise CallerError(Code.INVALID_ARGUMENTS, "The project's directory does not exist.")
    elif allowlist_file.create(directory, TEMPLATE.encode()):
        say(f"Made {directory / '.claude' / 'secrets.yml'}: nothing is allowed yet.")
    else:
        say(f"{directory / '.claude' / 'secrets.yml'} is there already; it was left as it is.")
    if options.key_file is not None:
        store = open_store(options, find_project(options))
        key_file = expanded(options.key_file)
        with suppress(OSError):  # what cannot be made is told when the key file cannot
            make_private(key_file.parent)
        store.create_with_key_file(key_file)
        say(f"Made the store {store.path} with its key in {key_file}.")
        say("Keep a copy of the key file in a safe place: without it nobody opens the store.")
    if options.passphrase:
        store = open_store(options, find_project(options))
        known = Person(store=store, project=find_project(options)).known_words
        text = check(new_passphrase("the store", options.new_passphrase_fd), known)
        store.create_with_passphrase(text)
        say(f"Made the store {store.path}. Without the passphrase nobody opens it.")
    say(f"Next: {command()} allow NAME, then {command()} set NAME")
    return 0
