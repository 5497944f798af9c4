"""`doctor`: check the key, the store, the project and its allowlist, and say how to fix problems."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from claude_secrets.cli.commands.key import kind_of, place_of
from claude_secrets.cli.listing import expiries
from claude_secrets.cli.old_copies import described
from claude_secrets.cli.opening import (
    Invocation,
    allowlist_of,
    check_of_links,
    find_project,
    invocation_of,
    the_person,
)
from claude_secrets.cli.output import progress, say, say_json
from claude_secrets.errors import CallerError, Code, CustodyError, InputError, SecretsError
from claude_secrets.exit_codes import FAILED
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import State
from claude_secrets.keys.unopened import is_lost
from claude_secrets.model import SHARED
from claude_secrets.paths import command, is_usual, own_directories, usual_store
from claude_secrets.person import inspection, key_files, keys, old_copies, secrets, trust
from claude_secrets.person.inspection import damages
from claude_secrets.person.keys import KeyInfo
from claude_secrets.person.person import Person
from claude_secrets.policy.config import CONFIG
from claude_secrets.policy.ownership import exposed, quoted
from claude_secrets.policy.personal_files import POLICY, POLICY_JSON, OwnFiles, read_own_files
from claude_secrets.policy.planted import grounds_of, way_to
from claude_secrets.policy.project import Project
from claude_secrets.prompt import browser, wsl
from claude_secrets.prompt.dialog import Dialogs
from claude_secrets.surroundings import a_terminal, surroundings
from claude_secrets.windows_package import is_in_appdata


class Finding(NamedTuple):
    """One line of the report: `state` is ok, warn or fail, and `hint` says how to fix the problem."""

    about: str
    state: str
    message: str
    hint: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--deep` and `--json` to the parser."""
    parser.add_argument("--deep", action="store_true", help="open every record, and list the damaged records")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """Check everything."""
    findings = list(_findings(invocation_of(options), deep=options.deep))
    if options.json:
        say_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            say(f"{finding.state:4}  {finding.about:9}  {finding.message}")
            if finding.hint:
                say(f"{'':17}{finding.hint}")
    return FAILED if any(finding.state == "fail" for finding in findings) else 0


def _findings(invocation: Invocation, *, deep: bool) -> Iterator[Finding]:
    project: Project | None = None
    try:
        project = find_project(invocation)
    except SecretsError as error:
        yield _failure("project", error)
    else:
        yield _project(project)
        if project is not None:
            yield _checked("allowlist", lambda: _allowlist(project))
    yield from _own_files(invocation, project)
    person: Person | None = None
    try:
        person = the_person(invocation, project, SHARED)
    except SecretsError as error:
        yield _failure("store", error)
    else:
        yield from _store_findings(person, invocation.store, deep=deep)
    yield from _exposed(person)
    yield _asking(project)


def _store_findings(person: Person, named: str | None, *, deep: bool) -> Iterator[Finding]:
    if not person.store.exists():
        yield Finding("store", "ok", f"{person.store.path}: there is no store yet. Your first secret creates it.")
        yield _no_key_yet()
        return
    try:
        yield from _keys(person)
    except (CallerError, InputError):  # the error is about a typed passphrase: continuing would ask again
        raise
    except SecretsError as error:
        yield _failure("key", error)
    yield from _copies(person)
    if not person.store.unlocked:  # reported above; continuing would ask for a passphrase again
        return
    yield _checked("store", lambda: _store(person, named))
    if person.project is not None and (main := person.project.main) is not None:
        yield _checked("work tree", lambda: _work_tree(person, main))
    if sys.platform == "win32" and is_in_appdata(person.store.path):
        hint = "Move the store to .claude-secrets in your user profile, and name it in config.yml (`store: PATH`)."
        yield Finding("store", "warn", "The store is in AppData, so servers of Claude Desktop refuse it.", hint)
    if deep:
        yield from _damage(person)
    yield from _expiry(person)


def _checked(about: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (CallerError, InputError):  # as above
        raise
    except SecretsError as error:
        return _failure(about, error)


def _failure(about: str, error: SecretsError) -> Finding:
    return Finding(about, "fail", f"[{error.code}] {error.message}", error.hint)


def _project(project: Project | None) -> Finding:
    if project is None:
        return Finding(
            "project", "warn", "You are not inside a project.", f"In a project's directory: {command()} init"
        )
    return Finding("project", "ok", str(project.path))


def _allowlist(project: Project) -> Finding:
    allowlist = allowlist_of(project)
    if not allowlist.entries:
        return Finding("allowlist", "warn", "The allowlist allows nothing.", f"To allow a name: {command()} allow NAME")
    rules = sum(len(of_tool) for of_tool in allowlist.rules.tools.values()) + len(allowlist.rules.everywhere)
    number = len(allowlist.entries)
    message = f"{number} {'entry' if number == 1 else 'entries'}, scope {allowlist.scope}, {rules} rules"
    if allowlist.warnings:
        return Finding("allowlist", "warn", message, " ".join(allowlist.warnings))
    return Finding("allowlist", "ok", message)


def _own_files(invocation: Invocation, project: Project | None) -> Iterator[Finding]:
    try:
        own = read_own_files(own_directories(), check_of_links(invocation, project))
    except SecretsError as error:
        yield _failure("policy", error)
        return
    policies = (own.rules,) if own.tightening is None else (own.rules, own.tightening)
    rules = sum(len(of_tool) for policy in policies for of_tool in (*policy.tools.values(), policy.everywhere))
    settings = f"trust {own.config.trust.name.lower()}, consent {own.config.consent.value}"
    yield Finding("policy", "ok", f"{rules} rules of your own, {settings}")
    if own.ignored:
        yield _ignored(own)


def _ignored(own: OwnFiles) -> Finding:
    account, environment = own_directories()
    message = f"Ignored in {environment}: {'; '.join(own.ignored)}. An environment can only make settings stricter."
    link = ""
    if environment is not None and not os.path.lexists(account):
        link = f", or: ln -s {quoted(environment)} {quoted(account)}"
    return Finding("policy", "warn", message, f"To apply these settings, put them in {account}{link}")


def _exposed(person: Person | None) -> Iterator[Finding]:
    """Report if other users could change the store, its keys, the person's own files, or a directory on their paths."""
    places = [directory / name for directory in own_directories().all() for name in (CONFIG, POLICY, POLICY_JSON)]
    if person is not None:
        with suppress(SecretsError):  # reported with the store
            places += [person.store.path, *person.store.key_files()]
    directories: dict[Path, Path] = {}
    for place in places:
        for step in (*way_to(place), place):
            directories.setdefault(step, place)
    for step, place in directories.items():
        if (problem := exposed(step)) is not None:
            whose = "" if step == place else f", on the path to {place.name},"
            yield Finding("places", "warn", f"{step}{whose} {problem[0]}.", problem[1])


def _asking(project: Project | None) -> Finding:
    """Report how `input_secret` can ask the person here, and what the person can type if it cannot."""
    forbidden = grounds_of(project.path) if project is not None else []
    program = browser.opener(os.environ, forbidden=forbidden, platform=sys.platform)
    dialogs = Dialogs(os.environ, forbidden, sys.platform)
    if program is not None:
        return Finding("asking", "ok", f"input_secret can open its page with {program}.")
    if dialogs.available():
        return Finding("asking", "ok", "input_secret can ask in a dialog on this desktop.")
    here = surroundings(os.environ)
    why = "WSL mirrors the network" if wsl.is_wsl() and wsl.is_mirrored() else "no browser and no dialog can be opened"
    message = f"Here, input_secret can ask you only if the client opens web addresses, because {why}."
    return Finding("asking", "ok", message, f"You can also enter a value in {a_terminal(here)}: {command()} set NAME")


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
    except CustodyError as failure:
        slots, error, unfinished = keys.list_unopenable(person), failure, False
    dead = [info for info in slots if info.failure and info.slot.state is State.THERE]
    yield from (_dead_key(person, info, opens=error is None) for info in dead)
    counted = [info for info in slots if info.counts]
    kinds = ", ".join(sorted(kind_of(info.slot) + ("" if info.tried else " (not tried)") for info in counted))
    if error is not None:
        yield _failure("key", error)
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
        yield _failure("damage", error)
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
