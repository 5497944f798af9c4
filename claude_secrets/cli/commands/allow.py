"""`allow`: let this project use a name, or the names of a pattern."""

from argparse import ArgumentParser, Namespace

from claude_secrets.cli import allowlist_file, ask_about_others
from claude_secrets.cli.listing import here, hint_at_main
from claude_secrets.cli.opening import invocation_of, require_project, the_person, yes_of
from claude_secrets.cli.output import say
from claude_secrets.person import trust
from claude_secrets.policy.allowlist import parse_allowlist, read_allowlist_file
from claude_secrets.policy.allowlist_edit import add_entry, check_entry, covering
from claude_secrets.policy.globs import is_wild


def add_arguments(parser: ArgumentParser) -> None:
    """Take the name or pattern."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a name, or in quotes a pattern: * is any run of characters, ? is one",
    )
    ask_about_others.add_yes(parser)


def loosens(_options: Namespace) -> bool:
    """Whether it gives agents or whoever has its output more than they have."""
    return True


def run(options: Namespace) -> int:
    """Grant the names first, then list the entry: whoever is interrupted has allowed agents nothing yet."""
    name = check_entry(options.name)
    invocation = invocation_of(options)
    project = require_project(invocation)
    before = read_allowlist_file(project.path).data
    after = add_entry(before, name)
    person = the_person(invocation, project)
    yes = yes_of(invocation)
    if is_wild(name):
        names = ask_about_others.require_names(person, name, yes)
        use = "the project may use what is stored under it now"
    else:
        ask_about_others.require_name(person, name, f"Let {here(person)} use {name}?", yes)
        names, use = [name], "the project may use it"
    trust.allow(person, *names)
    if after is None:
        entry = covering(parse_allowlist(before), name)
        by = "" if entry is None or entry.pattern == name else f", covered by its entry {entry.pattern}"
        say(f"'{name}' is in the allowlist of {project.path} already{by}; {use}.")
    else:
        allowlist_file.replace(project.path, before, after)
        say(f"Added '{name}' to {project.path / '.claude' / 'secrets.yml'}; {use}.")
    hint_at_main(person)
    return 0
