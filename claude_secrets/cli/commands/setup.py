"""`setup`: make the store, register this server with the clients, and check that the clients can start it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli import first_key, guide, registering
from claude_secrets.cli.asking import is_at_terminal
from claude_secrets.cli.checks.clients import check_clients
from claude_secrets.cli.checks.finding import FAIL, Finding
from claude_secrets.cli.client_project import choose_project
from claude_secrets.cli.first_key import StorePlan
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import find_project, invocation_of, the_person
from claude_secrets.cli.output import flush, say, say_json
from claude_secrets.cli.registering import Result
from claude_secrets.clients.known import Client
from claude_secrets.errors import CallerError, Code
from claude_secrets.exit_codes import FAILED, INTERRUPTED
from claude_secrets.model import SHARED
from claude_secrets.paths import command
from claude_secrets.person import keys
from claude_secrets.person.person import Person
from claude_secrets.prompt.terminal import confirm

_FIRST_SENTENCE: Final = "Use input_secret to ask me for GITEA_TOKEN."
"""A sentence for the person to type to an agent, which shows that everything works."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--dry-run`, `--yes` and `--json` to the parser."""
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask: take each proposal")
    parser.add_argument("--json", action="store_true", help="as JSON; needs --yes or --dry-run")


def loosens(options: Namespace) -> bool:
    """Return whether the command gives more access to agents."""
    return not options.dry_run


def run(options: Namespace) -> int:
    """Guide the person from nothing to connected clients. All questions come first, and then all changes."""
    asks = not (options.yes or options.dry_run)
    if options.json and asks:
        raise CallerError(Code.INVALID_ARGUMENTS, "With --json, nobody is asked.", "Add --yes or --dry-run.")
    if asks and not is_at_terminal():
        raise CallerError(Code.INVALID_ARGUMENTS, "Nobody can be asked here.", "To take each proposal, add --yes.")
    tell = _Telling(silent=options.json)
    invocation = invocation_of(options)
    person = the_person(invocation, find_project(invocation), SHARED)
    plan = _planned(options, person, tell, asks=asks)
    if plan.store.make is not None and not options.dry_run:
        plan.store.make()
        tell.text(f"Made the store {short(str(person.store.path))}.")
    results = registering.install(plan.clients, plan.projects, with_hooks=plan.with_hooks, dry_run=options.dry_run)
    if not options.json:
        registering.show(results, dry_run=options.dry_run, as_json=False)
    if plan.with_code:  # last, because the code must be shown once it opens the store
        code = keys.create_code(person, replacing=False)
        say()
        first_key.show_code(code)
        first_key.wait_until_written_down()
    checks, completed = ([], True) if options.dry_run else _checks(person, tell)
    if options.json:
        say_json(_as_data(plan.store, results, checks))
    elif not options.dry_run:
        _say_end(plan.store, results)
    if not completed:
        return INTERRUPTED
    failed = any(result.error for result in results) or any(check.state == FAIL for check in checks)
    return 0 if (plan.store.works or options.dry_run) and not failed else FAILED


class _Plan(NamedTuple):
    """What the person has agreed to."""

    store: StorePlan
    clients: list[Client]
    projects: Mapping[str, Path]
    with_hooks: bool = False
    with_code: bool = False


class _Telling:
    """Prints the texts that guide the person. With `silent`, nothing is printed, because the result is JSON."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def head(self, title: str) -> None:
        if not self._silent:
            say()
            say(title)

    def text(self, text: str) -> None:
        if not self._silent:
            guide.paragraph(text)


def _planned(options: Namespace, person: Person, tell: _Telling, *, asks: bool) -> _Plan:
    """Ask every question, if `asks` is set, and say what will be done."""
    if asks:
        tell.text("This makes your encrypted store, and connects your clients to it. You can decline each step.")
    tell.head("Your store")
    store = first_key.plan_store(person, asks=asks)
    tell.text(store.message)
    if store.hint:
        tell.text(store.hint)
    with_code = asks and store.works and first_key.can_have_code(person) and _wants_code(tell)
    tell.head("Your clients")
    clients, here = _clients(tell, asks=asks), registering.account()
    needing = [client for client in clients if registering.needs_project(client, here)]
    directory = choose_project(options.project, needing, yes=not asks)
    projects = {} if directory is None else {client.id: directory for client in needing}
    clients = [client for client in clients if client not in needing or client.id in projects]
    hookless = any(registering.lacks_hooks(client, here) for client in clients)
    with_hooks = not hookless or not asks or _wants_hooks(tell)  # hooks that are there are brought up to date
    plan = _Plan(store, clients, projects, with_hooks, with_code)
    if asks:
        _confirm(plan, tell)
    return plan


def _confirm(plan: _Plan, tell: _Telling) -> None:
    """Show which files will change, and ask. If the person refuses, end the command."""
    results = registering.install(plan.clients, plan.projects, with_hooks=plan.with_hooks, dry_run=True)
    changed = [result.path for result in results if result.is_change and result.path is not None]
    if not (changed or plan.store.make or plan.with_code):
        return
    if changed:
        tell.head("These files will be made or changed:")
        for path in changed:
            say(f"  {short(str(path))}")
    if plan.store.make:
        tell.text("Your system may ask for the password of your keyring in a window.")
    if not _agrees("Make these changes?"):
        say("Nothing was changed.")
        raise SystemExit(FAILED)
    say()


def _clients(tell: _Telling, *, asks: bool) -> list[Client]:
    clients = registering.present()
    if not clients:
        tell.text(f"None of the known clients is installed here. Later: {command()} install CLIENT")
        return []
    tell.text(f"Found: {', '.join(client.title for client in clients)}")
    if not asks or _agrees("Connect all of them?" if len(clients) > 1 else "Connect it?"):
        return clients
    return [client for client in clients if len(clients) > 1 and _agrees(f"Connect {client.title}?")]


def _wants_code(tell: _Telling) -> bool:
    tell.text("If the key is ever lost, only a second key opens the store, such as a code that you write down.")
    return _agrees("Make a recovery code? It is shown at the end.")


def _wants_hooks(tell: _Telling) -> bool:
    tell.text("Hooks of Claude Code keep stored values out of tool output, and warn you of credentials in prompts.")
    return _agrees("Add these hooks to Claude Code's settings?")


def _agrees(question: str) -> bool:
    flush()
    return confirm(question, default=True)


def _checks(person: Person, tell: _Telling) -> tuple[list[Finding], bool]:
    """Start the server of each client. Return the findings, and whether the person let them end."""
    tell.head("Does each client start the server? (Ctrl-C skips this.)")
    flush()
    findings = []
    try:
        for finding in check_clients(person):
            findings.append(finding)
            tell.text(f"{finding.state}: {finding.message}")
            if finding.hint:
                tell.text(finding.hint)
            flush()
    except KeyboardInterrupt:
        tell.text(f"Skipped. To check it later: {command()} doctor")
        return findings, False
    return findings, True


def _say_end(store: StorePlan, results: list[Result]) -> None:
    say()
    if store.works:
        say("Next")
        registering.say_restarts(results)
        guide.paragraph(f"In a project, run `{command()} init`, and type to an agent there: {_FIRST_SENTENCE}")
    else:
        guide.caution(f"not finished, because there is no store yet: {store.message}")
        guide.advice(store.hint or f"run {command()} setup again")
    registering.warn_of_command()
    changed = [result for result in results if result.is_change]
    if changed:
        say()
        say("Changed files:")
        for result in changed:
            say(f"  {'' if result.path is None else short(str(result.path))}")
        say(f"To give them back as they were: {command()} uninstall --undo")


def _as_data(store: StorePlan, results: list[Result], checks: list[Finding]) -> dict[str, object]:
    return {
        "store": {"works": store.works, "message": store.message, "hint": store.hint},
        "clients": [registering.as_data(result) for result in results],
        "checks": [check._asdict() for check in checks],
        "undo": f"{command()} uninstall --undo",
    }
