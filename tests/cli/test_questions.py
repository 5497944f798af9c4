"""Every question is clear without the list above it, because that list may have scrolled out of view."""

import itertools
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.rounds import in_turn
from tests.support.terminals import Running

skip_without("POSIX terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

NAMES = [f"SERVICE_{number:02}_TOKEN" for number in range(68)]
ROWS = 24
WORDS = "correct horse battery staple"
THERE = "It was stored in ~/work/own."
STORE = "~/.local/share/claude-secrets/secrets.db"

QUESTIONS = {
    "trust": ("clone", "Let agents of ~/work/clone use 68 secrets and keep secrets in the scope acme?"),
    "get SERVICE_00_TOKEN": (
        "clone",
        "Let ~/work/clone use the scope acme, with 68 secrets stored elsewhere, from now on?",
    ),
    "exec --scope acme -- true": ("clone", "Let this command use 68 secrets for ~/work/clone/.env?"),
    "export --scope acme": ("clone", "Let this command use 68 secrets for ~/work/clone/.env?"),
    "import values.env": ("other", "Import 68 secrets from ~/work/other/values.env into scope 'shared'?"),
    "purge --deleted": ("other", "Purge 68 deleted secrets in all scopes? This cannot be undone."),
    "set OWN": ("other", "Overwrite OWN, and let ~/work/other use it?"),
    "allow OWN": ("other", "Let ~/work/other use OWN?"),
    "access OWN --readable": ("other", "Make OWN readable for every agent that may use it?"),
    "delete OWN": (
        "other",
        "Delete 'OWN' in scope 'shared'? (Its versions stay in the store.) It was stored in ~/work/own.",
    ),
    "purge OWN": (
        "other",
        f"Purge 'OWN' of scope 'shared', with 1 version and all grants on it? This cannot be undone. {THERE}",
    ),
    "backup restore old.backup --aside --key-file new.key": (
        "..",
        f"Rename the store {STORE}, and make a new store with 137 secrets, 205 versions from ~/old.backup?",
    ),
}
"""For each command line: the directory in which it is typed, and its question."""


@pytest.fixture(scope="module", name="machine")
def machine_with_many_secrets(shared_machine: Machine) -> Machine:
    """A machine with 68 secrets in a scope that another project claims, 68 deleted secrets, and 68 names in a file."""
    infra, clone, other, own = (shared_machine.project(name) for name in ("infra", "clone", "other", "own"))
    for project in (infra, clone):
        (project / ".claude" / "secrets.yml").write_text(yaml.safe_dump({"scope": "acme", "allow": "*"}))
    (clone / ".env").write_text("".join(f"{name}=secret://{name}\n" for name in NAMES))
    for project in (infra, other):
        (project / "values.env").write_text("".join(f"{name}=value\n" for name in NAMES))
    run(shared_machine, "import", "values.env", "--yes", at=infra)
    (own / "old.env").write_text("".join(f"OLD_{number}=value\n" for number in range(68)))
    run(shared_machine, "import", "old.env", "--yes", at=own)
    for number in range(68):
        run(shared_machine, "delete", f"OLD_{number}", "--yes", at=own)
    shared_machine.keep("OWN", "value", at=own)
    run(shared_machine, "backup", "old.backup", "--backup-passphrase-fd", "0", stdin=WORDS)
    return shared_machine


def run(machine: Machine, *words: str, at: Path | None = None, stdin: str | None = None) -> None:
    done = machine.run(*words, at=at, stdin=stdin)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "columns"),
    [(line, columns) for number, line in enumerate(QUESTIONS) for columns in in_turn((60, 80), number, 1)],
)
def test_a_question_says_how_many_and_of_what(machine: Machine, line: str, columns: int) -> None:
    place, question = QUESTIONS[line]
    with Running([*PROGRAM, *line.split()], machine.home / "work" / place, machine.environment, columns=columns) as at:
        if "backup" in line:
            at.see("Passphrase of the backup .*: ")
            at.type(f"{WORDS}\n")
        shown = at.see(r"\[y/N\] ")
        at.type("\x03")
        assert at.ended() == 130
    assert shown.splitlines()[-1] == f"{question} [y/N] "
    assert question in " ".join(window(shown, columns)), "it is to be seen whole"
    if "68" in question:
        listed = [line for line in shown.splitlines() if re.search(r"(SERVICE_|OLD_)\d+", line)]
        assert len(listed) == 68, "every name is shown"
        heading = next(itertools.dropwhile(lambda line: "68" not in line, shown.splitlines()))
        assert shown.index(heading) < shown.index(listed[0]), "and how many there are before them"


def window(shown: str, columns: int) -> list[str]:
    """Return the last rows that a terminal of that width shows, as one text."""
    rows = [line[at : at + columns] for line in shown.splitlines() for at in range(0, max(len(line), 1), columns)]
    return ["".join(rows[-ROWS:])]
