"""In a clone, commands ask the person before its files can make them use secrets that were stored outside of it."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.terminals import PROMPT, Bash

skip_without("POSIX terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

CS = shlex.join(PROGRAM)
SHOW = "exec -- printenv A"


@pytest.fixture(name="machine")
def machine_with_secrets_of_others(machine: Machine) -> Machine:
    for name, value, where in (
        ("AWS_KEY", "canary-infra", machine.project("infra")),
        ("PERSONAL", "canary-person", machine.home),
        ("OWN", "own-value", machine.project("clone")),
    ):
        machine.keep(name, value, at=None if where == machine.home else where)
    return machine


@pytest.fixture
def terminal(machine: Machine) -> Iterator[Bash]:
    """The person at a terminal in the clone."""
    with Bash(machine.home / "work" / "clone", machine.environment, size=(31, 500)) as bash:
        yield bash


def env_file(machine: Machine, *names: str, at: str = "work/clone") -> Path:
    directory = machine.home / at
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".env").write_text("".join(f"{'ABCDEF'[n]}=secret://{name}\n" for n, name in enumerate(names)))
    return directory


@pytest.mark.parametrize("allow", ["*", ["OWN"]])
@pytest.mark.parametrize("command", [SHOW, "exec --redact -- printenv A", "export", "export --format json"])
@pytest.mark.parametrize("name", ["AWS_KEY", "PERSONAL"])
def test_what_a_clones_file_names_is_not_given_unseen(machine: Machine, allow: object, command: str, name: str) -> None:
    machine.project("clone", allow)
    clone = env_file(machine, name, "OWN")
    done = machine.run(*command.split(), at=clone)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"[NOT_TRUSTED] The file names {name}" in done.stderr
    assert f"allow {name}" in done.stderr
    yes = machine.run(*command.replace("exec", "exec --yes").replace("export", "export --yes").split(), at=clone)
    assert yes.returncode == 0
    assert ("canary" in yes.stdout) == ("redact" not in command)


def test_neither_where_the_clone_has_no_allowlist(machine: Machine) -> None:
    for at in ("unpacked", "deep/er"):
        directory = env_file(machine, "PERSONAL", at=at)
        refused = machine.run(*SHOW.split(), at=directory)
        assert (refused.returncode, refused.stdout) == (3, "")
        assert "init, then" in refused.stderr
        assert machine.run("exec", "--yes", "--", "printenv", "A", at=directory).stdout == "canary-person\n"
        assert machine.run("exec", "--only", "PERSONAL", "--", "printenv", "PERSONAL", at=directory).returncode == 0
    assert machine.run(*SHOW.split(), at=env_file(machine, "PERSONAL", at=".")).stdout == "canary-person\n"
    assert machine.run(*SHOW.split(), at=env_file(machine, "AWS_KEY", at=".")).returncode == 3


def test_what_is_the_projects_own_or_was_granted_is_used_without_a_word(machine: Machine) -> None:
    clone = env_file(machine, "OWN")
    everything: object = "*"
    for allow in (everything, []):  # the allowlist limits only agents
        machine.project("clone", allow)
        done = machine.run(*SHOW.split(), at=clone)
        assert (done.stdout, done.stderr) == ("own-value\n", "")
    env_file(machine, "AWS_KEY")
    assert machine.run("allow", "AWS_KEY", "--yes", at=clone).returncode == 0
    assert machine.run(*SHOW.split(), at=clone).stdout == "canary-infra\n"
    assert machine.run("exec", "--only", "PERSONAL", "--", "printenv", "PERSONAL", at=clone).stdout == "canary-person\n"


def test_the_person_is_shown_where_it_is_from_and_asked(machine: Machine, terminal: Bash) -> None:
    env_file(machine, "AWS_KEY", "OWN")
    for answer, expected in (("n", "Nothing was changed."), ("y", "canary-infra")):
        terminal.type(f"{CS} {SHOW}\n")
        asked = terminal.see(r"\[y/N\] ")
        assert "  AWS_KEY, stored in ~/work/infra" in asked
        assert "OWN" not in asked
        terminal.type(f"{answer}\n")
        terminal.see(expected)
    # The question also comes if the shell evaluates the output.
    terminal.type(f'eval "$({CS} export)"\n')
    terminal.see(r"\[y/N\] ")
    terminal.type("y\n")
    terminal.see("To stop being asked")
    terminal.see(PROMPT)
    assert terminal.run("printenv A").strip().endswith("canary-infra")


def test_a_name_of_another_project_is_not_overwritten_unseen(machine: Machine, terminal: Bash) -> None:
    clone, infra = machine.home / "work" / "clone", machine.home / "work" / "infra"
    machine.run("allow", "AWS_KEY", "--yes", at=machine.project("third"))
    for name, whose in (("AWS_KEY", "stored in ~/work/infra; also used by ~/work/third"), ("PERSONAL", "outside")):
        done = machine.run("set", name, at=clone, stdin="planted")
        assert (done.returncode, done.stdout) == (3, "")
        assert whose in done.stderr
        assert "scope: NAME" in done.stderr
    terminal.type(f"printf other | {CS} set AWS_KEY\n")
    assert "AWS_KEY was stored in ~/work/infra" in terminal.see(r"\[y/N\] ")
    terminal.type("n\n")
    terminal.see("Nothing was changed")
    assert machine.run("get", "AWS_KEY", at=infra).stdout == "canary-infra"
    terminal.type(f"printf other | {CS} set AWS_KEY\n")
    terminal.see(r"\[y/N\] ")
    terminal.type("y\n")
    terminal.see(r"Stored 'AWS_KEY' \(version 2\)")
    assert machine.run("get", "AWS_KEY", at=infra).stdout == "other"
    assert machine.run("set", "AWS_KEY", at=clone, stdin="again").returncode == 0, "it was granted"


def test_nor_at_home(machine: Machine) -> None:
    done = machine.run("set", "AWS_KEY", stdin="planted")
    assert (done.returncode, done.stdout) == (3, "")
    assert machine.run("set", "PERSONAL", stdin="new").returncode == 0
    assert machine.run("set", "AWS_KEY", "--yes", stdin="new").returncode == 0


def test_a_name_of_another_project_is_not_allowed_unseen(machine: Machine, terminal: Bash) -> None:
    clone = machine.project("clone", ["OWN"])
    before = (clone / ".claude" / "secrets.yml").read_bytes()
    done = machine.run("allow", "AWS_KEY", at=clone)
    assert (done.returncode, done.stdout) == (3, "")
    assert "stored in ~/work/infra" in done.stderr
    assert (clone / ".claude" / "secrets.yml").read_bytes() == before
    terminal.type(f"{CS} allow AWS_KEY\n")
    terminal.see(r"\[y/N\] ")
    terminal.type("y\n")
    terminal.see("Added 'AWS_KEY'")
    terminal.run(f"{CS} allow NEW && {CS} allow OWN && echo done")
    assert "AWS_KEY" in (clone / ".claude" / "secrets.yml").read_text()


ALLOWED_BY_PATTERN = {
    "AWS_*": "AWS_* covers 1 stored secret:\n  AWS_KEY, stored in ~/work/infra\n",
    "?WS*": "?WS* covers 1 stored secret:\n  AWS_KEY, stored in ~/work/infra\n",
    "*": "* covers 3 stored secrets:\n  AWS_KEY, stored in ~/work/infra\n  OWN, which this project can already use\n"
    "  PERSONAL, stored outside any project\n",
}


@pytest.mark.parametrize("pattern", ALLOWED_BY_PATTERN)
def test_a_pattern_grants_what_is_shown_once_the_person_says_so(machine: Machine, terminal: Bash, pattern: str) -> None:
    clone = machine.project("clone", [])
    before = (clone / ".claude" / "secrets.yml").read_bytes()
    done = machine.run("allow", pattern, at=clone)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(ALLOWED_BY_PATTERN[pattern])
    assert "1 of them from other projects" in done.stderr.splitlines()[-2]
    for answer in ("n", "y"):
        assert (clone / ".claude" / "secrets.yml").read_bytes() == before
        assert machine.run("projects").stdout == ""
        terminal.type(f"{CS} allow '{pattern}'\n")
        assert ALLOWED_BY_PATTERN[pattern] in (asked := terminal.see(r"\[y/N\] "))
        assert ("every later name" in asked) == (pattern == "*")
        terminal.type(f"{answer}\n")
        terminal.see("Nothing was changed" if answer == "n" else f"Added '{re.escape(pattern)}'")
    shown = ALLOWED_BY_PATTERN[pattern].splitlines()[1:]
    granted = [line.split()[-1] for line in machine.run("projects", at=clone).stdout.splitlines()[1:]]
    assert granted == [line.split()[0].rstrip(",") for line in shown]
    machine.run("set", "AWS_LATER", at=machine.home / "work" / "infra", stdin="later-value")
    with machine.server(clone) as wire:
        assert wire.text("get_secret", name="AWS_KEY") == "canary-infra"
        assert wire.code("get_secret", name="AWS_LATER") == "NOT_TRUSTED"


def test_a_pattern_asks_nothing_where_nothing_is_another_projects(machine: Machine) -> None:
    clone = machine.project("clone", [])
    for pattern, covers in (
        ("OW*", "1 stored secret:"),
        ("PERSON*", "1 stored secret:"),
        ("NEW_*", "0 stored secrets."),
    ):
        done = machine.run("allow", pattern, at=clone)
        assert done.returncode == 0
        assert done.stderr.startswith(f"{pattern} covers {covers}\n")
        assert f"Added '{pattern}'" in done.stdout
    with machine.server(clone) as wire:
        assert wire.text("get_secret", name="PERSONAL") == "canary-person"
    assert machine.run("allow", "*", at=machine.project("empty", [])).returncode == 3


def test_scripts_allow_a_pattern_and_take_it_back(machine: Machine) -> None:
    clone = machine.project("clone", ["OWN"])
    assert "Added '*'" in machine.run("allow", "*", "--yes", at=clone).stdout
    for pattern, told in (("*", "clone;"), ("AWS_*", "clone, covered by its entry *;"), ("OWN", "clone;")):
        done = machine.run("allow", pattern, "--yes", at=clone)
        assert (done.returncode, told in done.stdout) == (0, True)
    revoked = machine.run("revoke", "*", at=clone).stdout
    assert "Removed '*'" in revoked
    assert sorted(line.split()[-1] for line in revoked.splitlines()[1:]) == ["AWS_KEY.", "OWN.", "PERSONAL."]
    assert machine.run("projects").stdout == ""
    assert yaml.safe_load((clone / ".claude" / "secrets.yml").read_text())["allow"] == ["OWN"]


@pytest.mark.parametrize("wrong", ["AWS *", "[A]*", "é*", "A" * 128 + "*", "**/x"])
def test_what_is_no_pattern_is_refused(machine: Machine, wrong: str) -> None:
    for command in ("allow", "revoke"):
        done = machine.run(command, wrong, at=machine.project("clone", []))
        assert (done.returncode, "[INVALID_NAME]" in done.stderr) == (2, True)


def test_a_pattern_takes_back_no_scope(machine: Machine) -> None:
    clone = machine.project("clone", [])
    (clone / ".claude" / "secrets.yml").write_text("scope: own\nallow: []\n")
    machine.run("allow", "NEW", at=clone)
    machine.run("revoke", "*", at=clone)
    assert "the scope own" in machine.run("projects").stdout


def test_import_shows_whose_the_names_are(machine: Machine) -> None:
    clone = machine.home / "work" / "clone"
    (clone / "values.env").write_text("AWS_KEY=planted\nOWN=own-value\n")
    done = machine.run("import", "values.env", "--overwrite", at=clone)
    assert "overwrites version 1; stored from ~/work/infra" in done.stdout
    assert "~/work/clone" not in done.stdout


SCOPED = [
    "get AWS",
    "exec --only AWS -- printenv AWS",
    "export --only AWS",
    "exec -- printenv A",
    "delete AWS",
    "history AWS",
    "access AWS --readable",
    "allow AWS",
    "set AWS",
    "rename AWS NEW",
]


@pytest.mark.parametrize("command", SCOPED)
def test_a_scope_that_a_clone_claims_counts_only_when_granted(machine: Machine, command: str) -> None:
    infra = scoped(machine, "infra2", "acme-prod")
    assert machine.run("set", "AWS", at=infra, stdin="canary-prod").returncode == 0
    clone = scoped(machine, "evil", "acme-prod")
    env_file(machine, "AWS", at="work/evil")
    done = machine.run(*command.split(), at=clone, stdin="planted")
    assert (done.returncode, done.stdout) == (3, "")
    assert "says `scope: acme-prod`" in done.stderr
    assert machine.run("get", "AWS", at=infra).stdout == "canary-prod"


def scoped(machine: Machine, name: str, scope: str) -> Path:
    directory = machine.project(name)
    (directory / ".claude" / "secrets.yml").write_text(yaml.safe_dump({"scope": scope, "allow": "*"}))
    return directory


def test_a_scope_of_its_own_is_claimed_without_a_word_and_the_other_by_a_yes(machine: Machine, tmp_path: Path) -> None:
    infra = scoped(machine, "infra2", "acme-prod")
    assert machine.run("set", "AWS", at=infra, stdin="canary-prod").returncode == 0
    again = machine.run("get", "AWS", at=infra)
    assert (again.stdout, again.stderr) == ("canary-prod", "")
    clone = scoped(machine, "evil", "acme-prod")
    with Bash(clone, machine.environment, size=(31, 500)) as terminal:
        terminal.type(f"{CS} get AWS\n")
        assert "  AWS, stored in ~/work/infra2" in terminal.see(r"\[y/N\] ")
        terminal.type("y\n")
        terminal.see("canary-prod")
        assert "y/N" not in terminal.run(f"{CS} get AWS")
    grants = json.loads(machine.run("projects", "--json").stdout)
    assert [grant["name"] for grant in grants if grant["project"] == str(clone)] == [None]


def test_a_use_only_secret_is_not_made_readable_where_no_person_is(machine: Machine) -> None:
    machine.configure("presence: terminal")
    clone = machine.home / "work" / "clone"
    machine.run("access", "OWN", "--use-only", at=clone)
    done = machine.run("set", "OWN", "--readable", at=clone, stdin="v")
    assert (done.returncode, done.stdout) == (3, "")
    assert "[PERSON_ONLY]" in done.stderr
    assert machine.run("set", "FRESH", "--readable", at=clone, stdin="v").returncode == 0


def test_a_yes_for_scripts_lasts_only_where_the_person_lets_scripts_loosen(machine: Machine) -> None:
    infra = scoped(machine, "infra2", "acme-prod")
    assert machine.run("set", "AWS", at=infra, stdin="canary-prod").returncode == 0
    clone = scoped(machine, "evil", "acme-prod")
    machine.configure("presence: terminal")
    used = machine.run("exec", "--yes", "--only", "AWS", "--", "printenv", "AWS", at=clone)
    assert used.stdout == "canary-prod\n"
    assert json.loads(machine.run("projects", "--json").stdout) == [
        {"project": str(infra), "scope": "acme-prod", "name": None, "work_tree_of": None}
    ]
    for words in (["set", "AWS", "--yes"], ["set", "OTHER", "--yes"]):
        done = machine.run(*words, at=clone, stdin="v")
        assert (done.returncode, "[PERSON_ONLY]" in done.stderr) == (3, True)
    plain = machine.home / "work" / "clone"
    done = machine.run("set", "AWS_KEY", "--yes", at=plain, stdin="v")
    assert (done.returncode, "[PERSON_ONLY]" in done.stderr) == (3, True)
    (plain / "values.env").write_text("AWS_KEY=planted\n")
    done = machine.run("import", "values.env", "--overwrite", "--yes", at=plain)
    assert (done.returncode, "[PERSON_ONLY]" in done.stderr) == (3, True)
    assert machine.run("get", "AWS_KEY", at=machine.home / "work" / "infra").stdout == "canary-infra"


def test_a_file_counts_as_the_persons_by_where_it_lies(machine: Machine) -> None:
    env_file(machine, "PERSONAL", at=".")
    stranger = env_file(machine, "PERSONAL", at="unpacked")
    by_name = ["exec", "--file", str(stranger / ".env"), "--", "printenv", "A"]
    assert machine.run(*by_name, at=machine.home).returncode == 3
    from_home = ["exec", "--file", str(machine.home / ".env"), "--", "printenv", "A"]
    assert machine.run(*from_home, at=stranger).stdout == "canary-person\n"
    (stranger / "link").symlink_to(machine.home / ".env")
    (machine.home / "link").symlink_to(stranger / ".env")
    assert machine.run("exec", "--file", str(machine.home / "link"), "--", "true").returncode == 3


def test_what_was_stored_outside_of_projects_is_allowed_without_a_question(machine: Machine) -> None:
    done = machine.run("allow", "PERSONAL", at=machine.project("clone", []))
    assert done.returncode == 0
    assert "PERSONAL was stored outside any project." in done.stderr


def test_another_projects_secret_is_not_made_readable_or_deleted_unseen(machine: Machine, terminal: Bash) -> None:
    infra, clone = machine.home / "work" / "infra", machine.home / "work" / "clone"
    machine.run("access", "AWS_KEY", "--use-only", at=infra)
    done = machine.run("access", "AWS_KEY", "--readable", at=clone)
    assert (done.returncode, "[NOT_TRUSTED]" in done.stderr) == (3, True)
    terminal.type(f"{CS} delete AWS_KEY\n")
    assert "It was stored in ~/work/infra." in terminal.see(r"\[y/N\] ")
    terminal.type("n\n")
    terminal.see(PROMPT)


def test_whoever_was_let_use_a_name_is_told_of_when_it_moves(machine: Machine) -> None:
    infra = machine.home / "work" / "infra"
    assert machine.run("allow", "TAKEN", at=infra).returncode == 0
    with machine.server(infra) as wire:
        wire.text("set_secret", name="TAKEN", value="agent")
        wire.text("set_secret", name="LEFT", value="agent")
    done = machine.run("set", "TAKEN", at=machine.home / "work" / "clone", stdin="v")
    assert "TAKEN was stored by an agent in ~/work/infra" in done.stderr
    for name, said in (
        (
            "TAKEN",
            f"may still use 'TAKEN'; to revoke its grant: python -P -m claude_secrets --project {infra} revoke TAKEN",
        ),
        ("LEFT", "may no longer use it"),
    ):
        done = machine.run("set", name, "--yes", at=machine.home / "work" / "clone", stdin="v")
        assert said in done.stderr
