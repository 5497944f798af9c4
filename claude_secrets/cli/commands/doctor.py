"""`doctor`: check the key, the store, the project and the clients, and say how to fix problems."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from claude_secrets.cli.checks.asking import check_asking
from claude_secrets.cli.checks.clients import check_clients
from claude_secrets.cli.checks.finding import FAIL, Finding, failure, show_findings
from claude_secrets.cli.checks.own_files import check_exposed, check_own_files
from claude_secrets.cli.checks.project import check_project
from claude_secrets.cli.checks.store import check_store
from claude_secrets.cli.opening import Invocation, find_project, invocation_of, the_person
from claude_secrets.cli.output import say_json
from claude_secrets.errors import SecretsError
from claude_secrets.exit_codes import FAILED
from claude_secrets.model import SHARED
from claude_secrets.person.person import Person
from claude_secrets.policy.project import Project


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
        show_findings(findings)
    return FAILED if any(finding.state == FAIL for finding in findings) else 0


def _findings(invocation: Invocation, *, deep: bool) -> Iterator[Finding]:
    project: Project | None = None
    try:
        project = find_project(invocation)
    except SecretsError as error:
        yield failure("project", error)
    else:
        yield from check_project(project)
    yield from check_own_files(invocation, project)
    person: Person | None = None
    try:
        person = the_person(invocation, project, SHARED)
    except SecretsError as error:
        yield failure("store", error)
    else:
        yield from check_store(person, invocation.store, deep=deep)
    yield from check_exposed(person)
    yield check_asking(project)
    yield from check_clients(person)
