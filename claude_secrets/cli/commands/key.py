"""`key`: list, add, remove or replace the keys that open the store."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from claude_secrets.cli import old_copies
from claude_secrets.cli.arguments import add_verbs
from claude_secrets.cli.asking import is_at_terminal, new_passphrase, passphrase, require_yes, the_same_again
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import existing_person, invocation_of
from claude_secrets.cli.output import flush, hint, note, progress, say, say_json, table, warn
from claude_secrets.cli.times import date
from claude_secrets.errors import CallerError, Code, CustodyError, InputError, SecretsError
from claude_secrets.keys.recovery_code import new_code
from claude_secrets.keys.slot import FILE, PASSPHRASE, Slot, State
from claude_secrets.paths import command, expanded
from claude_secrets.person import key_files, keys, rotation
from claude_secrets.person.keys import KeyInfo
from claude_secrets.person.person import Person
from claude_secrets.shell_words import removal

_VERBS = {
    "list": "show the key slots",
    "add-passphrase": "add a passphrase that opens the store",
    "add-file": "add a new key file at PATH that opens the store",
    "remove": "remove the slot whose id begins with SLOT",
    "rotate": "replace the key in the keyring; with --data, replace every key, also in key files",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the verbs and their arguments to the parser."""
    verbs = add_verbs(parser, _VERBS)
    verbs["list"].add_argument("--json", action="store_true", help="as JSON")
    verbs["add-file"].add_argument("path", metavar="PATH", help="the new file; it must not exist yet")
    verbs["remove"].add_argument("slot", metavar="SLOT", help="the slot's id, or the first characters of the id")
    verbs["rotate"].add_argument(
        "--data",
        action="store_true",
        help="replace the data key and every key, passphrase and code; seal every record with the new data key",
    )
    for verb in ("remove", "rotate"):
        verbs[verb].add_argument("--yes", action="store_true", help="do not ask")
    for verb in ("add-passphrase", "rotate"):
        verbs[verb].add_argument(
            "--new-passphrase-fd",
            metavar="N",
            type=int,
            help="read the new passphrase from this file descriptor" + " (with --data)" * (verb == "rotate"),
        )


def loosens(options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return bool(options.verb != "list")


def run(options: Namespace) -> int:
    """Run the chosen verb."""
    verb = options.verb
    person = existing_person(invocation_of(options))
    if verb == "list":
        _list(person, as_json=options.json)
    elif verb == "add-passphrase":
        person.store.require_key()
        text = new_passphrase("the store", options.new_passphrase_fd)
        say(f"Added key slot {keys.add_passphrase(person, text).slot_id}: the passphrase now opens the store, too.")
    elif verb == "add-file":
        path = expanded(options.path)
        with saying_which_slot_is_replaced(person, path):
            slot = keys.add_file(person, path)
        say(f"Added key slot {slot.slot_id}: the key file {path} now opens the store, too.")
        hint("keep a copy of the key file, but not in the place where you keep a copy of the store")
    elif verb == "remove":
        _remove(person, options.slot, yes=options.yes)
    elif options.data:
        _rotate_data(person, options.new_passphrase_fd, yes=options.yes)
    else:
        for slot in keys.replace_in_keyring(person):
            say(f"The keyring has a new key for the store (slot {slot.slot_id}); the old key is deleted.")
        hint(f"anyone who had an old key may have copied the data key; to lock them out: {command()} key rotate --data")
    return 0


def _list(person: Person, *, as_json: bool) -> None:
    keys.clear_away(person)
    slots = keys.list_keys(person)
    if as_json:
        say_json([_as_data(info) for info in slots])
        return
    table([("SLOT", "KIND", "SINCE", "WHERE", ""), *(_row(info) for info in slots)])
    if sum(info.counts for info in slots) == 1:
        hint(f"if you lose that key, you lose your secrets; to add a second key: {command()} recover create")


def _row(info: KeyInfo) -> tuple[str, ...]:
    slot = info.slot
    where = short(str(slot.key_file)) if slot.kind == FILE else ""
    state = "" if info.tried else "not tried"
    if info.failure is not None:
        state = info.failure.message
    if slot.state is not State.THERE:
        state = "unfinished; the next key command completes or undoes the change"
    return (slot.slot_id, kind_of(slot), date(info.since)[:10], where, state)


def kind_of(slot: Slot) -> str:
    """Return the kind of a key slot as a text, such as "key file"."""
    return "recovery code" if slot.is_recovery else "key file" if slot.kind == FILE else slot.kind


def _as_data(info: KeyInfo) -> dict[str, object]:
    return {
        "slot": info.slot.slot_id,
        "kind": kind_of(info.slot),
        "since": date(info.since),
        "file": str(info.slot.key_file) if info.slot.kind == FILE else None,
        "state": info.slot.state.value or "there",
        "tried": info.tried,
        "fails": None if info.failure is None else info.failure.code.value,
    }


def _remove(person: Person, slot_id: str, *, yes: bool) -> None:
    slot = keys.require_removable(person, slot_id)
    others = key_files.sharing(person, slot)
    staying = f" The file stays: key slot {others[0].slot_id} uses it, too." if others else ""
    require_yes(
        f"Remove key slot {slot.slot_id} ({place_of(person, slot)})? It will no longer open the store.{staying}",
        yes=yes,
    )
    left = key_files.left_over(person, slot)
    slot = keys.remove_key(person, slot_id)
    say(f"Removed key slot {slot.slot_id} ({kind_of(slot)}).")
    if left is not None:
        hint(f"the key file was not removed, because another store may use it; if no store does: {removal(left)}")
    elif others:
        hint(f"keep the file {slot.key_file}: key slot {others[0].slot_id} uses it, too")
    hint(f"anyone who used that key may have copied the data key; to lock them out: {command()} key rotate --data")


@contextmanager
def saying_which_slot_is_replaced(person: Person, path: Path | None) -> Iterator[None]:
    """After a new key file is made at `path`, report each slot that was removed because its file there was lost."""
    before = [] if path is None else key_files.recorded_at(path, person.store.slots())
    yield
    there = {slot.slot_id for slot in person.store.slots()} if before else set()
    for slot in before:
        if slot.slot_id not in there:
            say(f"Removed key slot {slot.slot_id}, whose key file at this path was lost.")


def _rotate_data(person: Person, descriptor: int | None, *, yes: bool) -> None:
    slots, fixed = rotation.prepare(person)
    for each in fixed:
        warn(f"key slot {each.slot.slot_id} ({place_of(person, each.slot)}) will be removed: {each.failure.message}")
    losing = [each.slot for each in fixed]
    passphrases = _new_passphrases(person, slots, losing, descriptor)
    for slot in slots:
        if slot.kind == FILE and slot not in losing:
            warn(f"{place_of(person, slot)} gets a new key; this key file will no longer open any other store")
    require_yes("Replace all keys and the data key, and seal every record with the new data key?", yes=yes)
    old = old_copies.ask_which_to_remove(person, yes=yes)
    with _new_code(person, slots, losing) as code, progress("sealing") as tell:
        scrubbed = rotation.replace_every_key(person, slots, losing, passphrases=passphrases, code=code, progress=tell)
    say("Every record is sealed with a new data key. Old keys, passphrases and codes no longer open the store.")
    if keys.unfinished(person):
        warn("an old key has not been deleted yet; it opens nothing, and the next key command deletes it")
    if not scrubbed:
        warn("old data stays in the store's files for now: another program is using the store, or the disk is full")
    old_copies.remove_copies(person, old)
    hint("older copies and backups of the store still open with the old keys and passphrases")
    hint("if someone else has such a copy or backup, get new values for your secrets from their issuers")


def _new_passphrases(
    person: Person, slots: Sequence[Slot], losing: list[Slot], descriptor: int | None
) -> dict[str, str]:
    """Return a new passphrase for each passphrase slot, by slot id. Add the slots without a new one to `losing`."""
    wanting = [slot for slot in slots if slot.kind == PASSPHRASE and not slot.is_recovery and slot not in losing]
    if descriptor is None and wanting and not is_at_terminal():
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"Key slot {wanting[0].slot_id} needs a new passphrase, but there is no terminal at which to type it.",
            "Add --new-passphrase-fd N.",
        )
    if descriptor is not None and len(wanting) != 1:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"--new-passphrase-fd replaces exactly one passphrase, but the store has {len(wanting) or 'none'}.",
            "First remove the other passphrases (key remove), or run the command at a terminal without this option.",
        )
    given = {}
    for slot in wanting:
        new = _new_passphrase(slot, descriptor)
        if new is None:
            losing.append(slot)
            note(f"Key slot {slot.slot_id} will be removed.")
        else:
            given[slot.slot_id] = rotation.check_new(person, slots, new)
    return given


def _new_passphrase(slot: Slot, descriptor: int | None) -> str | None:
    if descriptor is not None:
        return passphrase("New passphrase", descriptor)
    prompt = f"New passphrase of key slot {slot.slot_id}"
    try:
        first = passphrase(f"{prompt}, or nothing to remove the slot", None)
    except InputError as error:
        if error.code is not Code.CANCELLED:
            raise
        return None
    return the_same_again(prompt, first)


@contextmanager
def _new_code(person: Person, slots: Sequence[Slot], losing: Sequence[Slot]) -> Iterator[str]:
    """Yield a new recovery code. If it replaces an old code, show it first; on failure, say which code is valid."""
    code, old = new_code(), [slot for slot in slots if slot.is_recovery and slot not in losing]
    if not old:
        yield code
        return
    note("This is the new recovery code. It will not be shown again. Write it down.")
    note("Keep the old code until this command says that every record is sealed with a new data key.")
    note("Until then, the old code may still be the valid one.")
    say(code)
    flush()
    done = False
    try:
        yield code
        done = True
    finally:
        if not done:
            warn(_which_code_counts(person, old))


def _which_code_counts(person: Person, old: Sequence[Slot]) -> str:
    try:
        there = {slot.slot_id for slot in person.store.slots()}
    except SecretsError:
        return "the store cannot be read, so keep both recovery codes: one of them is valid"
    if all(slot.slot_id in there for slot in old):
        return "no key was replaced: the old recovery code is still valid, and the new one is not"
    return "the keys were replaced: the new recovery code is valid, and the old one is not"


def place_of(person: Person, slot: Slot) -> str:
    """Return the kind of a key slot; for a key file also the path at which Claude Secrets looks for the file."""
    try:
        path = person.store.custody.file_of(slot)
    except CustodyError:  # the slot has no valid path
        path = None
    return kind_of(slot) if path is None else f"{kind_of(slot)} {path}"
