"""`recover`: make a recovery code, or use the code to open a store whose key is lost."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.arguments import add_verbs
from claude_secrets.cli.asking import code_from_input
from claude_secrets.cli.commands.key import saying_which_slot_is_replaced
from claude_secrets.cli.first_key import show_code
from claude_secrets.cli.opening import existing_person, invocation_of
from claude_secrets.cli.output import hint, say
from claude_secrets.keys.unopened import is_lost, new_place
from claude_secrets.paths import command, expanded
from claude_secrets.person import keys


def add_arguments(parser: ArgumentParser) -> None:
    """Add `create` and `use`, with their options, to the parser."""
    verbs = add_verbs(
        parser,
        {
            "create": "make a recovery code and show it once",
            "use": "open the store with the code (typed, or from input); make a key in the keyring or a file",
        },
    )
    verbs["use"].add_argument(
        "--key-file", metavar="PATH", help="put the new key into this new file, not into the keyring"
    )
    verbs["create"].add_argument("--replace", action="store_true", help="replace the current code with a new one")


def loosens(_options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return True


def run(options: Namespace) -> int:
    """Make a recovery code, or open the store with the code."""
    person = existing_person(invocation_of(options))
    if options.verb == "create":
        code = keys.create_code(person, replacing=options.replace)
        show_code(code)
        hint(f"when the key is lost: {command()} recover use{new_place(person.store.slots())}")
        return 0
    path = expanded(options.key_file) if options.key_file else None
    keys.require_code(person)  # before the person types the code
    other = f"Or put the new key into a file: {command()} recover use --key-file NEW_PATH"
    person.store.custody.require_place(path, person.store.path, other=other)
    code = code_from_input()
    with saying_which_slot_is_replaced(person, path):
        slot = keys.recover(person, code, path)
    where = "the keyring" if path is None else f"the file {path}"
    say(f"The code opened the store, and a new key for the store is in {where} (slot {slot.slot_id}).")
    for info in keys.list_keys(person):
        if info.failure is not None and is_lost(info.failure):
            hint(f"if the key of this slot is permanently lost: {command()} key remove {info.slot.slot_id}")
    return 0
