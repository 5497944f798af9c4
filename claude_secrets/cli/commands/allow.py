"""`allow`: add a name or pattern to this project's allowlist, and grant access to the matching secrets."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import ask_about_others
from claude_secrets.cli.listing import here, hint_at_main
from claude_secrets.cli.opening import invocation_of, require_project, the_person, yes_of
from claude_secrets.cli.output import hint, say
from claude_secrets.paths import command
from claude_secrets.person import secrets, trust
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.allowlist import parse_allowlist, read_allowlist_file
from claude_secrets.policy.allowlist_edit import add_entry, check_entry, covering
from claude_secrets.policy.globs import is_wild


def add_arguments(parser: ArgumentParser) -> None:
    """Add the name or pattern, and `--yes`, to the parser."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a secret's name, or a quoted pattern: * matches any characters, ? matches one character",
    )
    ask_about_others.add_yes(parser)


def loosens(_options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return True


def run(options: Namespace) -> int:
    """Grant the names, then add the allowlist entry. If the command is interrupted in between, agents gain nothing."""
    name = check_entry(options.name)
    invocation = invocation_of(options)
    project = require_project(invocation)
    before = read_allowlist_file(project.path).data
    after = add_entry(before, name)
    person = the_person(invocation, project)
    yes = yes_of(invocation)
    if is_wild(name):
        names = ask_about_others.require_names(person, name, yes)
        use = "the project may use the matching secrets that are stored now"
    else:
        ask_about_others.require_name(person, name, f"Let {here(person)} use {name}?", yes)
        names, use = [name], "the project may use it"
    trust.allow(person, *names)
    if after is None:
        entry = covering(parse_allowlist(before), name)
        by = "" if entry is None or entry.pattern == name else f", covered by its entry {entry.pattern}"
        say(f"'{name}' is already in the allowlist of {project.path}{by}; {use}.")
    else:
        allowlist_file.replace(project.path, before, after)
        say(f"Added '{name}' to {project.path / '.claude' / 'secrets.yml'}; {use}.")
    hint_at_main(person)
    if not is_wild(name) and not secrets.exists(person, name):
        hint(f"no secret has this name yet; to store it: {command()} set {name}")
    return 0
