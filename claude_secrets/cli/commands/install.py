"""`install`: register this server with clients, and add the hooks to Claude Code."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import registering
from claude_secrets.cli.client_project import choose_project
from claude_secrets.cli.output import note, say
from claude_secrets.clients.known import CLIENTS
from claude_secrets.exit_codes import FAILED
from claude_secrets.paths import command


def add_arguments(parser: ArgumentParser) -> None:
    """Add the clients, `--all`, `--hooks`, `--dry-run`, `--yes` and `--json` to the parser."""
    known = ", ".join(client.id for client in CLIENTS)
    parser.add_argument("clients", metavar="CLIENT", nargs="*", help=known)
    parser.add_argument("--all", action="store_true", help="every client that is installed here")
    parser.add_argument("--hooks", action="store_true", help="also add the hooks to Claude Code's settings")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="as JSON")


def loosens(options: Namespace) -> bool:
    """Return whether the command gives more access to agents."""
    return not options.dry_run


def run(options: Namespace) -> int:
    """Register the server with the clients, and say what to do so that they notice it."""
    clients = registering.chosen(options.clients, everything=options.all, offered=registering.present)
    if not clients:
        note("None of the known clients is installed here.")
        return FAILED
    here = registering.account()
    needing = [client for client in clients if registering.needs_project(client, here)]
    if options.project and options.clients:
        needing = clients
    elif options.project:
        needing = [client for client in clients if not client.tells_project]
    directory = choose_project(options.project, needing, yes=options.yes or options.dry_run)
    projects = {} if directory is None else {client.id: directory for client in needing}
    clients = [client for client in clients if client not in needing or client.id in projects]
    results = registering.install(clients, projects, with_hooks=options.hooks, dry_run=options.dry_run)
    succeeded = registering.show(results, dry_run=options.dry_run, as_json=options.json)
    if not options.dry_run and not options.json:
        registering.say_restarts(results)
        registering.say_undo(results)
        registering.warn_of_command()
        say(f"To check that the clients can start the server: {command()} doctor")
    return 0 if succeeded else FAILED
