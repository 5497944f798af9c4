"""Check the store, its keys and its secrets."""

import os
import sys
from collections.abc import Iterator

from claude_secrets.cli.checks.finding import Finding, checked, failure
from claude_secrets.cli.commands.key import kind_of, place_of
from claude_secrets.cli.listing import expiries
from claude_secrets.cli.old_copies import described
from claude_secrets.cli.output import progress
from claude_secrets.errors import CallerError, Code, CustodyError, InputError, SecretsError
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import State
from claude_secrets.keys.unopened import is_lost
from claude_secrets.paths import command, is_usual, usual_store
from claude_secrets.person import inspection, key_files, keys, old_copies, secrets, trust
from claude_secrets.person.inspection import damages
from claude_secrets.person.keys import KeyInfo
from claude_secrets.person.person import Person
from claude_secrets.policy.config import CONFIG
from claude_secrets.windows_package import is_in_appdata


def check_store(person: Person, named: str | None, *, deep: bool) -> Iterator[Finding]:
    """Check the store. `named` is the argument of `--store`. With `deep`, open every record."""
    if not person.store.exists():
        yield Finding("store", "ok", f"{person.store.path}: there is no store yet. Your first secret creates it.")
        yield _no_key_yet()
        return
    try:
        yield from _keys(person)
    except (CallerError, InputError):  # the error is about a typed passphrase: continuing would ask again
        raise
    except SecretsError as error:
        yield failure("key", error)
    yield from _copies(person)
    if not person.store.unlocked:  # reported above; continuing would ask for a passphrase again
        return
    yield checked("store", lambda: _store(person, named))
    if person.project is not None and (main := person.project.main) is not None:
        yield checked("work tree", lambda: _work_tree(person, main))
    if sys.platform == "win32" and is_in_appdata(person.store.path):
        hint = "Move the store to .claude-secrets in your user profile, and name it in config.yml (`store: PATH`)."
        yield Finding("store", "warn", "The store is in AppData, so servers of Claude Desktop refuse it.", hint)
    if deep:
        yield from _damage(person)
    yield from _expiry(person)


def _store(person: Person, named: str | None) -> Finding:
    secrets, versions = inspection.check_store(person)
    path = person.store.path
    usual = is_usual(path, person.config.usual_store)
    counted = f"{secrets} secret{'s' * (secrets != 1)}, {versions} version{'s' * (versions != 1)}"
    where = usual_store(person.config.usual_store)
    unusual = "" if usual else f". {_why_unusual(person, named)} It is not your usual store, {where}."
    return Finding("store", "ok", f"{path}: {counted}, every row verified{unusual}")


def _why_unusual(person: Person, named: str | None) -> str:
    """Return why the commands use another store than the usual one. `named` is the argument of `--store`."""
    if named:
        return "--store names this store."
    if os.environ.get("CLAUDE_SECRETS_STORE"):
        return "CLAUDE_SECRETS_STORE names this store."
    if person.config.store is not None:
        return f"The environment (HOME or XDG_CONFIG_HOME) leads to a {CONFIG} that names this store."
    return "The environment (HOME or XDG_DATA_HOME) leads to this store."


def _work_tree(person: Person, main: str) -> Finding:
    project = trust.project_with_identity(person)
    if project is not None and project.unjoined is None:
        return Finding("work tree", "ok", f"This git work tree is treated as the project {main}.")
    hint = f"To let it use that project's secrets: {command()} trust"
    message = f"This is a git work tree of {main}, but you have not let it use that project's secrets."
    return Finding("work tree", "warn", message, hint)


def _keys(person: Person) -> Iterator[Finding]:
    """Report each key that does not open the store, with the reason, and warn if only one key opens the store."""
    try:
        person.store.unlock()
        slots, error = keys.list_keys(person), None
        unfinished = keys.unfinished(person)
    except CustodyError as problem:
        slots, error, unfinished = keys.list_unopenable(person), problem, False
    dead = [info for info in slots if info.failure and info.slot.state is State.THERE]
    yield from (_dead_key(person, info, opens=error is None) for info in dead)
    counted = [info for info in slots if info.counts]
    kinds = ", ".join(sorted(kind_of(info.slot) + ("" if info.tried else " (not tried)") for info in counted))
    if error is not None:
        yield failure("key", error)
    elif unfinished:
        hint = f"To complete the change: {command()} key list"
        yield Finding(
            "key", "warn", f"The store opens, but a change of its keys is incomplete. Its keys: {kinds}.", hint
        )
    elif len(counted) > 1:
        yield Finding("key", "ok", f"The store has {len(counted)} keys: {kinds}.")
    if len(counted) == 1 and counted[0].slot.is_recovery:
        hint = "If you lose this code, too, you lose your secrets."
        yield Finding("key", "warn", f"The store has only one key: {kinds}.", hint)
    elif len(counted) == 1:
        then = "To add another key" if error is None else "To add another key, once the store opens"
        hint = f"If you lose this key, you lose your secrets. {then}: {command()} recover create"
        yield Finding("key", "warn", f"The store has only one key: {kinds}.", hint)


def _dead_key(person: Person, info: KeyInfo, *, opens: bool) -> Finding:
    """Return the finding on a key that is lost here. `opens` is whether another key opens the store."""
    slot, failure = info.slot, info.failure
    message, hint = ("", None) if failure is None else (failure.message, failure.hint)
    if failure is not None and failure.code is Code.KEY_WRONG and (others := key_files.sharing(person, slot)):
        message = f"Its key is not in this file, which key slot {others[0].slot_id} uses, too."
    if opens and (failure is None or is_lost(failure)):
        hint = f"If its key is permanently lost: {command()} key remove {slot.slot_id}"
    return Finding("key", "warn", f"Key slot {slot.slot_id} ({place_of(person, slot)}): {message}", hint)


def _copies(person: Person) -> Iterator[Finding]:
    for copy in old_copies.list_copies(person.store.path):
        if copy.store_id is None:
            hint = "This file does not open as a store, so no command removes it. Check the file yourself."
        else:
            hint = f"This copy contains all that was in the store then. To remove the copy: {command()} purge --deleted"
        yield Finding("copy", "warn", described(copy), hint)


def _no_key_yet() -> Finding:
    status = Custody(environment=os.environ).keyring_status()
    if status.ok:
        return Finding("key", "ok", f"{status.name} works. Your first secret puts the store's key there.")
    other = f"Or keep the key in a file: {command()} init --key-file PATH"
    return Finding("key", "fail", f"[{status.code}] {status.message}", f"{status.hint} {other}")


def _damage(person: Person) -> Iterator[Finding]:
    try:
        with progress("opening") as tell:
            wrong = damages(person, tell)
    except SecretsError as error:
        yield failure("damage", error)
        return
    hint = f"To save the records that open: {command()} backup FILE, then {command()} backup restore FILE --aside"
    for line in wrong:
        yield Finding("damage", "fail", f"[{Code.STORE_TAMPERED}] {line}", hint if line == wrong[-1] else None)
    if not wrong:
        yield Finding("damage", "ok", "Every version of every record opens.")


def _expiry(person: Person) -> Iterator[Finding]:
    try:
        expiring = expiries(secrets.list_all(person))
    except SecretsError:  # reported with the store
        return
    gone = [one for one in expiring if one.seconds <= 0]
    soon = [one for one in expiring if one.seconds > 0]
    for some, what in ((gone, "expired"), (soon, "will soon expire")):
        if some:
            names = ", ".join(one.record.name for one in some)
            hint = f"To store a new value: {command()} set {some[0].record.name}"
            yield Finding("expired", "warn", f"{len(some)} secret{'s' * (len(some) > 1)} {what}: {names}", hint)
