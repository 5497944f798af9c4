"""`allow`: let this project use a name."""

from argparse import ArgumentParser, Namespace

from claude_secrets.allowlist_edit import add_entry
from claude_secrets.cli import allowlist_file, foreign
from claude_secrets.cli.common import here, hint_at_main, require_project, the_person
from claude_secrets.cli.output import say
from claude_secrets.model import check_name
from claude_secrets.policy_file import read_bytes


def add_arguments(parser: ArgumentParser) -> None:
    """Take the name."""
    parser.add_argument("name", metavar="NAME")
    foreign.add_yes(parser)


def run(options: Namespace) -> int:
    """Grant the name first, then list it: whoever is interrupted has allowed agents nothing yet."""
    name = check_name(options.name)
    project = require_project(options)
    before = read_bytes(project.path)
    after = add_entry(before, name)
    person = the_person(options, project)
    foreign.require_name(person, name, f"Let {here(person)} use {name}?", options)
    person.allow(name)
    if after is None:
        say(f"'{name}' is in the allowlist of {project.path} already; the project may use it.")
    else:
        allowlist_file.replace(project.path, before, after)
        say(f"Added '{name}' to {project.path / '.claude' / 'secrets.yml'}; the project may use it.")
    hint_at_main(person)
    return 0
