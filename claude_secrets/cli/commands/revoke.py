"""`revoke`: revoke this project's grants on names, and remove a name from its allowlist."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import allowlist_file
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import allowlist_of, invocation_of, require_project, the_person
from claude_secrets.cli.output import hint, say
from claude_secrets.errors import CallerError, Code
from claude_secrets.person import trust
from claude_secrets.policy.allowlist import read_allowlist_file
from claude_secrets.policy.allowlist_edit import check_entry, covering, remove_entry
from claude_secrets.store.grants import Grant


def add_arguments(parser: ArgumentParser) -> None:
    """Take a name or `--all`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a name, or a quoted pattern of names")
    parser.add_argument("--all", action="store_true", help="every grant of this project; its allowlist is not changed")


def run(options: Namespace) -> int:
    """Revoke all grants, or the grants on a name together with its own entry in the allowlist."""
    if bool(options.name) == options.all:
        raise CallerError(Code.INVALID_ARGUMENTS, "Name one secret, or use --all.")
    invocation = invocation_of(options)
    project = require_project(invocation)
    if options.all:
        _tell(trust.revoke(the_person(invocation, project)))
        return 0
    name = check_entry(options.name)
    before = read_allowlist_file(project.path).data
    after = remove_entry(before, name)
    if after is not None:
        allowlist_file.replace(project.path, before, after)
        say(f"Removed '{name}' from {project.path / '.claude' / 'secrets.yml'}.")
    _tell(trust.revoke(the_person(invocation, project), name))
    entry = covering(allowlist_of(project), name)
    if entry is not None:
        hint(f"the allowlist still covers '{name}' by its entry {entry.pattern}")
    return 0


def _tell(taken: list[Grant]) -> None:
    for grant in taken:
        say(f"Revoked: {_words(grant)}.")
    if not taken:
        say("There was no grant to revoke. (A project needs no grant for the secrets that it stored itself.)")


def _words(grant: Grant) -> str:
    if grant.main is not None:
        return f"counting as a work tree of {short(grant.main)} (which keeps its own grants)"
    return f"the name {grant.name}" if grant.name else f"the scope {grant.scope}"
