"""`uninstall`: remove this server and its hooks from clients, and on request everything that is stored."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import registering
from claude_secrets.cli.opening import invocation_of
from claude_secrets.cli.output import hint, note
from claude_secrets.clients.known import CLIENTS
from claude_secrets.errors import CallerError, Code
from claude_secrets.exit_codes import FAILED
from claude_secrets.paths import command


def add_arguments(parser: ArgumentParser) -> None:
    """Add the clients, `--all`, `--undo`, `--purge-store`, `--dry-run`, `--yes` and `--json` to the parser."""
    known = ", ".join(client.id for client in CLIENTS)
    parser.add_argument("clients", metavar="CLIENT", nargs="*", help=known)
    parser.add_argument("--all", action="store_true", help="every client in which this server is registered")
    parser.add_argument(
        "--undo", action="store_true", help="put the files back as they were before `setup` and `install` changed them"
    )
    parser.add_argument("--purge-store", action="store_true", help="remove the store with all secrets and keys")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="as JSON")


def loosens(options: Namespace) -> bool:
    """Return whether the command needs a person: it can remove the hooks, and with them what they guard."""
    return not options.dry_run


def run(options: Namespace) -> int:
    """Remove the server from the clients. If the person asked for that, ask about the store first, and remove it."""
    if options.purge_store and (options.dry_run or options.json or options.undo):
        raise CallerError(Code.INVALID_ARGUMENTS, "--purge-store cannot be combined with --dry-run, --json or --undo.")
    if not options.purge_store:
        return 0 if _remove(options) else FAILED
    from claude_secrets.cli.store_removal import purge_store

    if not purge_store(invocation_of(options), yes=options.yes):
        return FAILED
    succeeded = not (options.clients or options.all) or _remove(options)
    if kept := [*registering.changed_files()]:
        copies = "1 copy" if len(kept) == 1 else f"{len(kept)} copies"
        hint(f"for an undo, {copies} of clients' files are kept; to remove them: {command()} uninstall --all")
    return 0 if succeeded else FAILED


def _remove(options: Namespace) -> bool:
    everything = options.all or (options.undo and not options.clients)
    clients = registering.chosen(options.clients, everything=everything, offered=registering.registered)
    planner = registering.planner()
    plan = planner.undo if options.undo else planner.remove
    results = registering.carry_out(clients, plan, dry_run=options.dry_run)
    succeeded = registering.show(results, dry_run=options.dry_run, as_json=options.json)
    if not options.json:
        if not results:
            note("This server is not registered there, so nothing was changed.")
        elif not options.dry_run:
            registering.say_ends(results)
            if not options.purge_store:
                hint(f"your secrets are still stored; to remove them, too: {command()} uninstall --purge-store")
    return succeeded
