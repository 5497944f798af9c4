"""Register the server with clients, and remove it again: choose the clients, show the changes, and make them.

Always: each client is changed by itself. If one client's file cannot be changed, the others still are, and the command
fails. Nothing is written in a dry run.
"""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli import guide
from claude_secrets.cli.client_project import make_project
from claude_secrets.cli.listing import short
from claude_secrets.cli.output import error, hint, say, say_json
from claude_secrets.clients import entries, hooks
from claude_secrets.clients.changed_files import ChangedFiles, find_file
from claude_secrets.clients.known import CLIENTS, Account, Client, sign_of
from claude_secrets.clients.plans import HOOKS, MADE, SERVER, Planner, Step
from claude_secrets.clients.program import PATHS, Program, installed
from claude_secrets.clients.text import UnreadableFileError
from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError
from claude_secrets.paths import APPLICATION, command, default_store, home, home_directories, working_directory
from claude_secrets.policy import planted
from claude_secrets.policy.allowlist import FILE
from claude_secrets.policy.project import CallOrigin, place_at

_DIRECTORY: Final = "changed-files"


class Result(NamedTuple):
    """What happened to one file of a client, or what would happen in a dry run. `error` is set if it failed."""

    client: Client
    what: str
    state: str
    path: Path | None = None
    error: SecretsError | None = None
    step: Step | None = None

    @property
    def is_change(self) -> bool:
        """Whether the file was changed, or would be."""
        return self.error is None and self.state != UNCHANGED


UNCHANGED: Final = "unchanged"


def changed_files() -> ChangedFiles:
    """Return the records of the files that were changed for clients.

    Raises:
        CallerError: INVALID_ARGUMENTS if the project here could have planted the records.
    """
    directory = default_store().parent / _DIRECTORY
    _refuse_inside(directory, "XDG_DATA_HOME")
    return ChangedFiles(directory)


def _refuse_inside(path: Path, variable: str) -> None:
    """Refuse a path of the environment that leads into the project or git work tree of the working directory."""
    where = CallOrigin(argument=None, environment=None, root=None, working_directory=working_directory())
    problem = f"{variable} leads into the project here, which could have planted it. Nothing was changed."
    refusal = CallerError(Code.INVALID_ARGUMENTS, problem, "Run the command in another directory, or unset it.")
    planted.refuse_inside(path, lambda: refusal, where, None, home_directories())


def account() -> Account:
    """Return whose clients are looked up, and on which system."""
    return Account(home(), os.environ, sys.platform)


def planner() -> Planner:
    """Return the planner for this machine and this installation."""
    return Planner(account(), changed_files(), program())


def program() -> Program:
    """Return the command that starts this installation."""
    return installed(os.environ)


def chosen(names: Sequence[str], *, everything: bool, offered: Callable[[], list[Client]]) -> list[Client]:
    """Return the clients that the arguments name. With `everything` these are the clients in `offered`.

    Raises:
        CallerError: INVALID_ARGUMENTS if the arguments name no client, an unknown client, or a client and everything.
    """
    known = [client.id for client in CLIENTS]
    listed = f"The clients are: {', '.join(known)}"
    if names and everything:
        raise CallerError(Code.INVALID_ARGUMENTS, "Name clients, or use --all, but not both.")
    if everything:
        return offered()
    if not names:
        raise CallerError(Code.INVALID_ARGUMENTS, "Name one or more clients, or use --all.", listed)
    for name in names:
        if name not in known:
            meant = next(iter(difflib.get_close_matches(name.lower(), known, 1)), None)
            hint_ = f"Did you mean `{meant}`? {listed}" if meant else listed
            raise CallerError(Code.INVALID_ARGUMENTS, "Unknown client (not shown, it may be a secret value).", hint_)
    return [client for client in CLIENTS if client.id in names]


def present() -> list[Client]:
    """Return the clients that are installed on this machine."""
    here = account()
    return [client for client in CLIENTS if sign_of(client, here) is not None]


def registered() -> list[Client]:
    """Return the clients in which this server is registered, and those with files that were changed for this server."""
    here, files = account(), changed_files()
    changed = {changed.client for changed in files}
    return [client for client in CLIENTS if client.id in changed or has_entry(client, here)]


def has_entry(client: Client, here: Account) -> bool:
    """Return whether a client's file has an entry of this server. A file that cannot be read has none."""
    try:
        return bool(entries.find_entries(client, find_file(client.file(here)).data))
    except (SecretsError, UnreadableFileError):
        return False


def install(
    clients: Sequence[Client], projects: Mapping[str, Path], *, with_hooks: bool, dry_run: bool
) -> list[Result]:
    """Register the server with each client, and return what happened to each file.

    `projects` are the directories that entries name, by the client's ID. They become projects if they are none.
    """
    planning = planner()
    for name in PATHS:
        if value := program().environment.get(name):
            _refuse_inside(Path(value), name)

    def plan(client: Client) -> list[Step]:
        directory = projects.get(client.id)
        return planning.install(client, None if directory is None else str(directory), with_hooks=with_hooks)

    results = carry_out(clients, plan, dry_run=dry_run)
    for result in [one for one in results if one.is_change and one.what == SERVER and one.client.id in projects]:
        results += _project_made(result.client, projects[result.client.id], dry_run=dry_run)
    return results


def _project_made(client: Client, directory: Path, *, dry_run: bool) -> list[Result]:
    file = directory / FILE
    try:
        if os.path.lexists(file) if dry_run else not make_project(client, directory, changed_files()):
            return []
    except SecretsError as problem:
        return [Result(client, MADE, "failed", file, problem)]
    return [Result(client, MADE, "made", file)]


def needs_project(client: Client, here: Account) -> bool:
    """Return whether the client needs a project and its configuration names none.

    A client whose file cannot be read needs none, because it cannot be registered. Registering it reports the error.
    """
    if client.tells_project:
        return False
    try:
        found = entries.find_entries(client, find_file(client.file(here)).data)
    except SecretsError:
        return False
    return all(entry.project is None for entry in found)


def lacks_hooks(client: Client, here: Account) -> bool:
    """Return whether the client has hooks, and lacks some of ours. So do settings that cannot be read."""
    settings = hooks.settings_file(client, here)
    if settings is None:
        return False
    try:
        return hooks.find_events(find_file(settings).data) != frozenset(hooks.EVENTS)
    except SecretsError:  # adding the hooks reports the error, unless the person declines them
        return True


def carry_out(clients: Iterable[Client], plan: Callable[[Client], list[Step]], *, dry_run: bool) -> list[Result]:
    """Plan the changes of each client and make them, unless this is a dry run. Return what happened to each file."""
    files, results = changed_files(), []
    for client in clients:
        try:
            steps = plan(client)
        except SecretsError as problem:
            results.append(Result(client, "", "failed", error=problem))
            continue
        for step in steps:
            result = Result(client, step.what, _state(step), step.found.path, step=step)
            try:
                if not dry_run:
                    step.carry_out(files)
            except SecretsError as problem:
                result = result._replace(state="failed", error=problem)
            results.append(result)
    return results


def _state(step: Step) -> str:
    if not step.changes:
        return UNCHANGED
    if step.forgets:
        return "removed" if step.after is not None else "removed, with the file"
    return "added" if step.is_new else "updated"


def show(results: Sequence[Result], *, dry_run: bool, as_json: bool) -> bool:
    """Print what happened, or in a dry run the diff of each file. Return whether everything succeeded."""
    if as_json:
        say_json([as_data(result) for result in results])
    else:
        for result in results:
            _show_one(result, dry_run=dry_run)
    return all(result.error is None for result in results)


def _show_one(result: Result, *, dry_run: bool) -> None:
    if result.error is not None:
        error(f"{result.client.title}: [{result.error.code}] {result.error.message}")
        if result.error.hint:
            hint(result.error.hint)
        return
    path = "" if result.path is None else short(str(result.path))
    what = {HOOKS: "hooks ", MADE: "allowlist of its project "}.get(result.what, "")
    would = "would be " if dry_run and result.is_change else ""
    guide.paragraph(f"{result.client.title}: {what}{would}{result.state} ({path})")
    if dry_run and result.step is not None and result.is_change:
        for line in result.step.differences():
            say(f"    {line}")


def as_data(result: Result) -> dict[str, object]:
    """Return a result for `--json`."""
    return {
        "client": result.client.id,
        "what": result.what or None,
        "state": result.state,
        "path": None if result.path is None else str(result.path),
        "error": None if result.error is None else f"[{result.error.code}] {result.error.message}",
        "diff": [] if result.step is None else [*result.step.differences()],
    }


def say_restarts(results: Sequence[Result]) -> None:
    """Say what to do so that each client with a new entry starts the server."""
    for client in _changed(results):
        guide.paragraph(client.after_change)


def say_ends(results: Sequence[Result]) -> None:
    """Say which clients still run the server that was removed from their configuration."""
    if titles := ", ".join(client.title for client in _changed(results)):
        guide.paragraph(f"A client that is running keeps its server until you restart it: {titles}")


def _changed(results: Sequence[Result]) -> list[Client]:
    return [*dict.fromkeys(result.client for result in results if result.is_change)]


def warn_of_command() -> None:
    """Warn if the registered command may need the network, or if agents may be able to replace it."""
    command_path = Path(program().command)
    installing = f"to avoid that, install the program (`uv tool install`), and run {APPLICATION} install again"
    if program().is_cached:
        guide.caution("the clients now start the server through uvx, which can need the network at each start")
        guide.advice(installing)
    with suppress(DeniedError):  # the path cannot be resolved
        if (tree := place_at(command_path.parent, home_directories()).work_tree) is not None:
            where = short(str(tree))
            guide.caution(f"the clients now start a program in {where}, and agents that work there can change it")
            guide.advice(installing)


def say_undo(results: Sequence[Result]) -> None:
    """Say with which command the changes are undone."""
    if changed := " ".join(client.id for client in _changed(results)):
        say(f"To undo this: {command()} uninstall --undo {changed}")
