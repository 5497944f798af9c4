"""Check each client in which the server is registered: start the server as the client would, and list the tools."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from claude_secrets.cli import registering
from claude_secrets.cli.checks.finding import FAIL, OK, WARN, Finding
from claude_secrets.cli.listing import short
from claude_secrets.cli.times import left
from claude_secrets.clients import entries, hooks
from claude_secrets.clients.changed_files import find_file
from claude_secrets.clients.entries import Registered
from claude_secrets.clients.folder_trust import starts_servers_in
from claude_secrets.clients.known import CLIENTS, Account, Client
from claude_secrets.clients.launch import launch
from claude_secrets.clients.program import CARRIED
from claude_secrets.errors import Code, SecretsError
from claude_secrets.paths import command, home_directories, working_directory
from claude_secrets.person import log
from claude_secrets.person.person import Person
from claude_secrets.policy.planted import refuse_inside
from claude_secrets.policy.project import CallOrigin, Project
from claude_secrets.untrusted_text import plain, shortened
from claude_secrets.variable_names import is_loading

_USUAL = frozenset((*CARRIED, "PATH"))
"""Variables that an entry of this server may have: those that `install` writes, and one that the server ignores."""


def check_clients(person: Person | None) -> Iterator[Finding]:
    """Start the server as each registered client would. `person` is None if the store cannot be opened."""
    here, calls, found = registering.account(), {} if person is None else _last_calls(person), False
    for client in CLIENTS:
        path = client.file(here)
        try:
            data = find_file(path).data
            registered, wrapped = entries.find_entries(client, data), entries.wrapped_entries(client, data)
        except SecretsError as error:
            yield Finding("client", FAIL, f"{client.title}: {path}: {error.message}", error.hint)
            continue
        for name in wrapped:
            found = True
            message = f"{client.title}: `{name}` starts the server through another program, which was not tried."
            yield Finding("client", OK, message)
        if registered and (unsafe := _unsafe(path)) is not None:
            found = True
            yield Finding("client", WARN, f"{client.title}: {unsafe}", "Run this command in another directory.")
            continue
        for entry in registered:
            found = True
            yield _started(client, entry, here, calls.get(client.id))
        if registered:
            yield from _folder(client, here, None if person is None else person.project)
            yield from _hooks(client, here)
    if not found:
        yield Finding("client", WARN, "No client is registered.", f"To connect your clients: {command()} setup")


def _started(client: Client, entry: Registered, here: Account, last_call: int | None) -> Finding:
    name = client.title if entry.name in entries.NAMES else f"{client.title} (`{entry.name}`)"
    again = f"To register the server again: {command()} install {client.id}"
    started = launch(client, entry.value, account=here, project=working_directory())
    if started.failure is not None:
        last = f" Its last words: {' | '.join(started.failure.stderr)}" if started.failure.stderr else ""
        return Finding("client", FAIL, f"{name}: {started.failure.message}{last}", again)
    tools = f"{started.tools} tool{'s' * (started.tools != 1)}"
    used = "" if last_call is None else f", last call {left(time.time() - last_call)} ago"
    message = f"{name}: connected in {started.seconds:.1f} s, {tools}{used}"
    if entry.program.command != registering.program().command:
        message = f"{message}; it starts {shortened(plain(entry.program.command, mark='?'))}"
    if loading := [name for name in entry.program.environment if is_loading(name) and name not in _USUAL]:
        hint = "Remove these variables from the entry, unless you put them there."
        named = plain(", ".join(loading), limit=80)
        return Finding("client", WARN, f"{message}, with variables that choose which code it loads: {named}", hint)
    if not client.tells_project and entry.project is None:
        return Finding("client", WARN, f"{message}, but its entry names no project", f"{again} --project DIR")
    if entry.project is not None and not Path(entry.project).is_dir():
        return Finding("client", FAIL, f"{name}: its project {entry.project} does not exist.", f"{again} --project DIR")
    return Finding("client", OK, message)


def _unsafe(path: Path) -> str | None:
    """Return why nothing of a client's file is started: the project here could have planted the file."""
    where = CallOrigin(argument=None, environment=None, root=None, working_directory=working_directory())
    why = f"its configuration {path} is in the project here, so nothing of it was started."
    try:
        refuse_inside(path, lambda: SecretsError(Code.INVALID_ARGUMENTS, why), where, None, home_directories())
    except SecretsError as error:
        return error.message
    return None


def _folder(client: Client, here: Account, project: Project | None) -> Iterator[Finding]:
    """Warn if the client starts no server in the project. Without a project, nobody works in this directory."""
    if project is None:
        return
    directory = working_directory()
    try:
        starts = starts_servers_in(client, here, directory)
    except SecretsError as error:
        yield Finding("client", WARN, f"{client.title}: the folders that it trusts are unknown: {error.message}")
        return
    if not starts:
        message = f"{client.title} does not trust {short(str(directory))}, and starts no servers there."
        yield Finding("client", WARN, message, f"Start {client.title} there, and choose to trust the folder.")


def _hooks(client: Client, here: Account) -> Iterator[Finding]:
    settings = hooks.settings_file(client, here)
    if settings is None:
        return
    try:
        found = hooks.find_events(find_file(settings).data)
    except SecretsError as error:
        yield Finding("hooks", FAIL, f"{client.title}: {settings}: {error.message}", error.hint)
        return
    if missing := [event for event in hooks.EVENTS if event not in found]:
        what = "no hooks" if not found else f"no hook for {', '.join(missing)}"
        hint = f"To have output redacted and prompts checked: {command()} install {client.id} --hooks"
        yield Finding("hooks", WARN, f"{client.title} has {what}.", hint)


def _last_calls(person: Person) -> Mapping[str, int]:
    """Return when each client last made a call, in seconds since 1970. The log has the name that the client reports."""
    if not person.store.unlocked:
        return {}
    last: dict[str, int] = {}
    try:
        logged = log.entries(person, lambda entry: bool(entry.event.client))
    except SecretsError:  # reported with the store
        return {}
    for entry in logged:
        for client in CLIENTS:
            if entry.event.client.lower().startswith(client.reported):
                last[client.id] = max(entry.last, last.get(client.id, 0))
    return last
