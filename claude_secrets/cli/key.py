"""`key`: the keys that open the store."""

import sys
from argparse import ArgumentParser, Namespace

from claude_secrets import keys
from claude_secrets.cli.common import existing_person, new_passphrase, passphrase, short
from claude_secrets.cli.delete import require_yes
from claude_secrets.cli.output import hint, note, progress, say, say_json, table, verbs, warn
from claude_secrets.cli.times import date
from claude_secrets.errors import CallerError, Code, InputError
from claude_secrets.key_slot import FILE, PASSPHRASE, Slot, State
from claude_secrets.keys import KeyInfo
from claude_secrets.paths import command, expanded
from claude_secrets.person import Person

_VERBS = {
    "list": "show the key slots (--json)",
    "add-passphrase": "let a passphrase open the store, too",
    "add-file": "let a new key file at PATH open the store, too",
    "remove": "take away the slot whose id begins with SLOT",
    "rotate": "put a new key into the keyring, in place of the old one (--data: seal everything anew)",
}
_TAKES = {"add-file": "PATH", "remove": "SLOT"}


def add_arguments(parser: ArgumentParser) -> None:
    """Take a verb and what it is about."""
    verbs(parser, _VERBS)
    parser.add_argument("what", metavar="WHAT", nargs="?", help="the PATH or SLOT")
    parser.add_argument(
        "--data", action="store_true", help="rotate: replace the data key itself, and seal every record anew"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--new-passphrase-fd", metavar="N", type=int, help="add-passphrase: read it from this file descriptor"
    )
    parser.add_argument("--json", action="store_true", help="list: as JSON")


def run(options: Namespace) -> int:
    """Do what the verb says."""
    verb, what = options.verb, options.what
    if (what is not None) != (verb in _TAKES):
        raise CallerError(Code.INVALID_ARGUMENTS, f"key {verb} takes {_TAKES.get(verb, 'nothing else')}.")
    person = existing_person(options)
    if verb == "list":
        _list(person, as_json=options.json)
    elif verb == "add-passphrase":
        text = new_passphrase("the store", options.new_passphrase_fd)
        say(f"Added key slot {keys.add_passphrase(person, text).slot_id}: the passphrase opens the store, too.")
    elif verb == "add-file":
        path = expanded(what)
        say(f"Added key slot {keys.add_file(person, path).slot_id}: the key file {path} opens the store, too.")
        hint("keep a copy of it where no copy of the store is")
    elif verb == "remove":
        _remove(person, options)
    elif options.data:
        _rotate_data(person, options)
    else:
        for slot in keys.rotate(person):
            say(f"The keyring has a new key for the store (slot {slot.slot_id}); the old one is deleted.")
    return 0


def _list(person: Person, *, as_json: bool) -> None:
    keys.clear_away(person)
    found = keys.every(person)
    if as_json:
        say_json([_as_data(info) for info in found])
        return
    table([("SLOT", "KIND", "SINCE", "WHERE", ""), *(_row(info) for info in found)])
    if sum(info.failure is None for info in found) == 1:
        hint(f"if that key is lost, so are your secrets; to have a second one: {command()} recover create")


def _row(info: KeyInfo) -> tuple[str, ...]:
    slot = info.slot
    where = short(str(slot.key_file)) if slot.kind == FILE else ""
    state = "" if info.failure is None else "does not open the store here"
    if slot.state is not State.THERE:
        state = "was not finished; the next key command clears it away"
    return (slot.slot_id, kind_of(slot), date(info.since)[:10], where, state)


def kind_of(slot: Slot) -> str:
    """What a slot is called."""
    return "recovery code" if slot.is_recovery else "key file" if slot.kind == FILE else slot.kind


def _as_data(info: KeyInfo) -> dict[str, object]:
    return {
        "slot": info.slot.slot_id,
        "kind": kind_of(info.slot),
        "since": date(info.since),
        "file": str(info.slot.key_file) if info.slot.kind == FILE else None,
        "state": info.slot.state.value or "there",
        "fails": None if info.failure is None else info.failure.code.value,
    }


def _remove(person: Person, options: Namespace) -> None:
    require_yes(f"Remove the key slot {options.what}? Its key opens the store no more.", options)
    slot = keys.remove(person, options.what)
    say(f"Removed key slot {slot.slot_id} ({kind_of(slot)}).")
    if slot.kind == FILE:
        hint(f"the file {slot.key_file} opens nothing any more; delete it")
    hint(f"whoever used that key before may have kept what it unwrapped; to be safe: {command()} key rotate --data")


def _rotate_data(person: Person, options: Namespace) -> None:
    _learn_passphrases(person, options)
    losing = keys.lost_by_rotating_data(person)
    for slot in losing:
        warn(f"key slot {slot.slot_id} ({kind_of(slot)}) cannot be kept, for its key is not here")
    require_yes("Replace the data key, and seal every record anew?", options)
    with progress("sealing") as tell:
        scrubbed = keys.rotate_data(person, losing, tell)
    say("Every record is sealed with a new data key.")
    if any(slot.is_recovery for slot in losing):
        hint(f"the recovery code opens nothing any more; to make a new one: {command()} recover create")
    if not scrubbed:
        warn("old pages stay in the store's files for now: another program uses it, or there is no space")
    hint("backups that were made before still open with their passphrases")


def _learn_passphrases(person: Person, options: Namespace) -> None:
    """Ask for what opens each passphrase slot, so that it can be kept; nothing typed means that it cannot."""
    for info in keys.every(person):
        slot = info.slot
        if slot.kind != PASSPHRASE or (options.passphrase_fd is None and not _at_terminal()):
            continue
        what = f"key slot {slot.slot_id} ({kind_of(slot)}; leave it empty to give the slot up)"
        try:
            keys.learn(person, slot, passphrase(what, None if slot.is_recovery else options.passphrase_fd))
        except InputError:
            note(f"Key slot {slot.slot_id} will be given up.")


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
