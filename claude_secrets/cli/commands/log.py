"""`log`: show the audit log, with the caller, time and outcome of each event."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import Invocation, invocation_of, require_project, the_person
from claude_secrets.cli.output import note, say, say_json
from claude_secrets.cli.times import before_now, date
from claude_secrets.errors import CallerError, DeniedError
from claude_secrets.paths import expanded
from claude_secrets.person import log, trust
from claude_secrets.policy.project import Project
from claude_secrets.store.audit import EventOutcome, LogEntry, LogEvent
from claude_secrets.true_names import true_path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the filters to the parser. The common option `--project` also filters the log."""
    parser.add_argument("--name", help="only events about this secret")
    parser.add_argument("--tool", help="only events of this tool or command")
    parser.add_argument(
        "--since", metavar="WHEN", help="only events since a day such as 2026-11-23, or since 30m, 12h or 7d ago"
    )
    parser.add_argument("--denied", action="store_true", help="only refused calls")
    parser.add_argument("--verify", action="store_true", help="check that no event was changed, moved or removed")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """Show or verify the log."""
    invocation = invocation_of(options)
    named = None if options.project is None else _named(invocation, options.project)
    person = the_person(invocation, named if isinstance(named, Project) else None, "shared")
    if options.verify:
        say(f"The log is intact ({log.verify_log(person)} entries): no entry was changed, moved or removed.")
        return 0
    since = None if options.since is None else before_now(options.since, "--since")
    project = trust.project_with_identity(person)
    projects = {named} if isinstance(named, str) else set(project.identities if project else ())

    def keep(entry: LogEntry) -> bool:
        event = entry.event
        return (
            options.name in (None, event.name)
            and options.tool in (None, event.action)
            and (named is None or event.project in projects)
            and (since is None or entry.last >= since)
            and (not options.denied or event.outcome == EventOutcome.REFUSED)
        )

    entries = log.entries(person, keep)
    if options.json:
        say_json([_as_data(entry) for entry in entries])
    elif not entries:
        note("No log entries match.")
    width = max((len(_outcome(entry.event)) for entry in entries), default=0)
    for entry in () if options.json else entries:
        say(_line(entry, width))
    return 0


def _named(invocation: Invocation, path: str) -> Project | str:
    """Return the project at `path`, which `--project` names. If it is no longer a project, return its real path."""
    try:
        return require_project(invocation)
    except (DeniedError, CallerError):
        return true_path(expanded(path))


def _outcome(event: LogEvent) -> str:
    return event.code or event.outcome


def _line(entry: LogEntry, width: int) -> str:
    """Return the line of an entry. The column of the outcome has the given width."""
    event = entry.event
    who = "you" if event.caller == "person" else f"agent “{event.client}”" if event.client else event.caller
    place = f" in {short(event.project)}" if event.project else ""
    outcome = _outcome(event).ljust(width)
    more = [f"rule {event.rule}"] if event.rule else []
    more += [f"asked by {event.channel}"] if event.channel else []
    more += [f"{entry.times} times, last {date(entry.last)}"] if entry.times > 1 else []
    about = f" {event.name}" if event.name else ""
    return f"{date(entry.first)}  {outcome}  {event.action}{about}  {who}{place}" + "".join(f"; {m}" for m in more)


def _as_data(entry: LogEntry) -> dict[str, object]:
    event = entry.event
    return {
        "sequence": entry.sequence,
        "first": date(entry.first),
        "last": date(entry.last),
        "count": entry.times,
        **{key: getattr(event, key) for key in type(event)._fields},
    }
