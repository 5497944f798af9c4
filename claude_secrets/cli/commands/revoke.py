"""`revoke`: revoke this project's grants on a name and remove the name from its allowlist, or revoke all grants."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import allowlist_of, invocation_of, require_project, the_person
from claude_secrets.cli.output import hint, say
from claude_secrets.errors import CallerError, Code
from claude_secrets.paths import command
from claude_secrets.person import trust
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.allowlist import read_allowlist_file
from claude_secrets.policy.allowlist_edit import check_entry, covering, remove_entry
from claude_secrets.store.grants import Grant


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name and `--all` to the parser."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a name, or a quoted pattern of names")
    parser.add_argument(
        "--all", action="store_true", help="revoke every grant of this project; the allowlist does not change"
    )


def run(options: Namespace) -> int:
    """Revoke all grants, or remove a name's entry from the allowlist and revoke the grants on the name."""
    if bool(options.name) == options.all:
        forms = f"To revoke one name: {command()} revoke NAME. To revoke all grants: {command()} revoke --all"
        raise CallerError(Code.INVALID_ARGUMENTS, "Name either one secret or --all.", forms)
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
        hint(f"the allowlist still allows '{name}': its entry {entry.pattern} covers this name")
    return 0


def _tell(taken: list[Grant]) -> None:
    for grant in taken:
        say(f"Revoked: {_words(grant)}.")
    if not taken:
        say("There was no grant to revoke. (A project needs no grant for the secrets that it stored itself.)")
    hint("this command changes only what agents may use; your own commands can still use every secret")


def _words(grant: Grant) -> str:
    if grant.main is not None:
        return f"the permission to count as a work tree of {short(grant.main)} (that project keeps its own grants)"
    return f"the name {grant.name}" if grant.name else f"the scope {grant.scope}"
