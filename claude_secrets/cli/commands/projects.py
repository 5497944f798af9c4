"""`projects`: list the grants of all projects."""

from argparse import ArgumentParser, Namespace
from itertools import groupby

from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import find_project, invocation_of, the_person
from claude_secrets.cli.output import hint, note, say, say_json
from claude_secrets.paths import command
from claude_secrets.person import trust
from claude_secrets.store.grants import Grant


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--json` to the parser."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: Namespace) -> int:
    """List all grants, grouped by project."""
    invocation = invocation_of(options)
    grants = trust.list_grants(the_person(invocation, find_project(invocation), "shared"))
    if options.json:
        say_json([_as_data(grant) for grant in grants])
        return 0
    if not grants:
        note("No project has any grants. (A project needs no grant for the secrets that it stored itself.)")
        return 0
    for project, of_project in groupby(grants, key=lambda grant: grant.project):
        say(short(project))
        for grant in of_project:
            say(f"  {_words(grant)}")
    hint(f"to revoke a grant: {command()} --project DIR revoke NAME, or revoke --all")
    return 0


def _words(grant: Grant) -> str:
    if grant.main is not None:
        return f"counts as a work tree of {short(grant.main)}, and may use everything that project may use"
    scope = "" if grant.scope == "shared" else f" (scope {grant.scope})"
    return f"{grant.name}{scope}" if grant.name else f"the scope {grant.scope}"


def _as_data(grant: Grant) -> dict[str, object]:
    if grant.main is not None:
        return {"project": grant.project, "scope": None, "name": None, "work_tree_of": grant.main}
    return {"project": grant.project, "scope": grant.scope, "name": grant.name or None, "work_tree_of": None}
