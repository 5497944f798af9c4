"""`trust`: review which secrets this project asks for but did not store, and grant access."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.asking import require_yes
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import allowlist_of, invocation_of, require_project, the_person
from claude_secrets.cli.output import counted, say
from claude_secrets.paths import command
from claude_secrets.person import trust
from claude_secrets.person.trust import Wanted
from claude_secrets.policy.config import Trust


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--yes` to the parser."""
    parser.add_argument("--yes", action="store_true", help="do not ask; grant everything that is shown")


def loosens(_options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return True


def run(options: Namespace) -> int:
    """Show the access that the project asks for but does not have yet, ask, and grant exactly this access."""
    invocation = invocation_of(options)
    project = require_project(invocation)
    person = the_person(invocation, project)
    wanted = trust.wanted(person, allowlist_of(project), required=person.config.trust is Trust.REQUIRED)
    if not wanted:
        say(f"{project.path} already has access to everything it asks for.")
        return 0
    say(f"{project.path} asks to {_counted(wanted)}:")
    if wanted.main is not None:
        say(f"  to count as a work tree of {short(wanted.main)}, and to use everything that project may use")
    if wanted.scope is not None:
        say(f"  to keep its secrets in the scope {wanted.scope}")
    for record in wanted.secrets:
        state = "deleted" if record.deleted else record.access.value
        say(f"  {record.name}, stored from {short(record.origin)} ({state})")
    require_yes(f"Let agents of {short(str(project.path))} {_counted(wanted)}?", yes=options.yes)
    trust.grant(person, wanted)
    back = "revoke NAME, or revoke --all" if wanted.secrets else "revoke --all"
    say(f"Access granted. To revoke it: {command()} {back}")
    return 0


def _counted(wanted: Wanted) -> str:
    """Return a summary of the requested access, because the list above the question may have scrolled away."""
    parts = [f"use {counted(len(wanted.secrets), 'secret')}"] if wanted.secrets else []
    if wanted.scope is not None:
        parts.append(f"keep secrets in the scope {wanted.scope}")
    if wanted.main is not None:
        parts.append(f"count as a work tree of {short(wanted.main)}")
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
