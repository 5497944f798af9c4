"""The person's commands, used together: the output, the effects and the exit code of each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.agent import client_records
from claude_secrets.agent.processes import Process
from tests.support import sqlite_attacker as attacker
from tests.support.machine import DEADLINE, PROGRAM, Machine, in_a_shell
from tests.support.terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("quick_starts")


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("n\n", 1, ["T"]), ("\n", 1, ["T"])])
def test_deleting_asks_first(machine: Machine, answer: str, code: int, left: list[str]) -> None:
    machine.run("set", "T", stdin="v")
    assert on_a_terminal(machine, ["delete", "T"], machine.home, [("[y/N]", answer)])[0] == code
    assert [secret["name"] for secret in json.loads(machine.run("list", "--json").stdout)] == left


def test_nobody_to_ask_means_no(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    done = machine.run("delete", "T")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert machine.run("get", "T").stdout == "v"


def test_exit_codes_tell_who_can_mend_it(machine: Machine) -> None:
    assert machine.run("list").returncode == 0
    assert machine.run("get", "ABSENT").returncode == 1
    assert machine.run("get", "-x").returncode == 2
    assert machine.run("get", "a b").returncode == 2
    assert machine.run("no-such-command").returncode == 2
    assert machine.run("allow", "T").returncode == 3
    machine.key_file.unlink()
    assert machine.run("list").returncode == 4


def test_errors_are_one_line_and_a_hint_on_standard_error(machine: Machine) -> None:
    machine.key_file.unlink()
    done = machine.run("list")
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    assert [line.split()[0] for line in lines] == ["error:", "hint:"]
    assert lines[0].startswith("error: [KEY_MISSING] ")


def test_listing_shows_everything_but_values(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "SHARED_ONE", stdin="canary")
    machine.run("set", "PROJECT_ONE", "--use-only", at=project, stdin="canary")
    machine.run("set", "SCOPED", "--scope", "acme", stdin="canary")
    done = machine.run("list", "--json")
    listed = {secret["name"]: secret for secret in json.loads(done.stdout)}
    assert {name: (secret["scope"], secret["access"], secret["version"]) for name, secret in listed.items()} == {
        "SHARED_ONE": ("shared", "readable", 1),
        "PROJECT_ONE": ("shared", "use-only", 1),
        "SCOPED": ("acme", "readable", 1),
    }
    assert listed["PROJECT_ONE"]["origin"] == str(project)
    assert listed["SHARED_ONE"]["origin"] == "person"
    table = machine.run("list").stdout
    assert table.splitlines()[0].split() == ["NAME", "SCOPE", "ACCESS", "VERSION", "STORED", "FROM"]
    assert "~/work/api" in table
    assert "canary" not in done.stdout + table
    assert [secret["name"] for secret in json.loads(machine.run("search", "one$", "--json").stdout)] == [
        "PROJECT_ONE",
        "SHARED_ONE",
    ]
    assert machine.run("get", "SCOPED", "--scope", "acme").stdout == "canary"
    assert machine.run("get", "SCOPED").returncode == 1


def test_renaming_keeps_versions_and_takes_no_name_that_was_used(machine: Machine) -> None:
    machine.run("set", "OLD", stdin="one")
    machine.run("set", "OLD", stdin="two")
    assert machine.run("rename", "OLD", "NEW").returncode == 0
    assert machine.run("get", "NEW").stdout == "two"
    assert machine.run("get", "OLD").returncode == 1
    assert json.loads(machine.run("list", "--json").stdout)[0]["version"] == 2
    machine.run("set", "OTHER", stdin="x")
    machine.run("delete", "OTHER", "--yes")
    assert machine.run("rename", "NEW", "OTHER").returncode == 2
    assert machine.run("rename", "ABSENT", "X").returncode == 1


@pytest.mark.parametrize("mask", [0, 0o777])
def test_notes_of_clients_are_in_private_directories_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    monkeypatch.setattr(client_records, "directory", lambda: tmp_path / "a" / "b" / "clients")
    before = os.umask(mask)
    try:
        client_records.record_client(Process(number=1, parent=0, started="1"), lambda *_: True)
    finally:
        os.umask(before)
    made = [*(tmp_path / "a").rglob("*")]
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", *made) if path.is_dir()] == [0o700] * 3
    assert len(made) == 3


def test_without_arguments_it_serves_on_a_pipe_and_helps_on_a_terminal(machine: Machine) -> None:
    assert machine.run(stdin="").returncode == 0
    code, screen = on_a_terminal(machine, [], machine.home, [])
    assert (code, "usage:" in screen) == (0, True)


OURS = ("claude_secrets", "yaml", "keyring", "re2", "cryptography", "mcp", "platformdirs", "sitecustomize")


def test_code_in_the_working_directory_does_not_run(machine: Machine) -> None:
    project = machine.project("clone")
    for name in {*sys.stdlib_module_names, *OURS}:
        (project / f"{name}.py").write_text(f"open({str(machine.home / 'ran')!r}, 'w')\n")
    script = Path(sys.executable).with_name("claude-secrets")
    for program in ([str(script)], [sys.executable, "-P", "-m", "claude_secrets"]):
        done = subprocess.run(
            [*program, "list"], cwd=project, env=machine.environment, capture_output=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
    assert not (machine.home / "ran").exists()


def test_a_store_inside_the_project_is_refused(machine: Machine) -> None:
    project = machine.project("clone")
    done = machine.run("--store", "evil.db", "list", at=project)
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_UNAVAILABLE]")


def test_in_a_directory_that_was_deleted_there_is_no_project(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    program = " ".join(PROGRAM)
    gone = f"mkdir {machine.home}/gone; cd {machine.home}/gone; rmdir {machine.home}/gone; {program} "
    assert in_a_shell(machine, f"{gone} get T").stdout == "v"
    assert "not inside a project" in in_a_shell(machine, f"{gone} doctor").stdout
    assert in_a_shell(machine, f"{gone} allow T").stderr.startswith("error: [NO_PROJECT]")
    assert in_a_shell(machine, f"{gone} serve </dev/null").returncode == 0


def test_get_from_a_store_that_does_not_fit_together_warns_that_the_value_may_be_an_older_one(machine: Machine) -> None:
    machine.run("set", "T", stdin="old")
    older = machine.store.with_name("older.db")
    older.write_bytes(machine.store.read_bytes())
    machine.run("set", "T", stdin="new")
    with attacker.attacker(machine.store) as connection:
        for table in ("records", "versions"):
            attacker.revert(connection, table, older)
    done = machine.run("get", "T")
    assert (done.stdout, "may be an older one" in done.stderr) == ("old", True)


def test_access_changes_all_names_or_none(machine: Machine) -> None:
    for name in ("A", "B"):
        machine.run("set", name, stdin="v")
    done = machine.run("access", "A", "ABSENT", "--use-only")
    assert (done.returncode, done.stderr.split()[1]) == (1, "[NOT_FOUND]")
    assert accesses(machine) == {"A": "readable", "B": "readable"}
    assert machine.run("access", "A", "B", "--use-only").stdout == "'A' is use-only.\n'B' is use-only.\n"
    assert "already" in machine.run("access", "A", "--use-only").stdout
    assert accesses(machine) == {"A": "use-only", "B": "use-only"}
    assert machine.run("access", "A", "--readable").returncode == 0
    assert machine.run("access", "A").returncode == 2


def accesses(machine: Machine) -> dict[str, str]:
    return {secret["name"]: secret["access"] for secret in json.loads(machine.run("list", "--json").stdout)}


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "", "list"],
        ["--store", "~nobody-of-this-name/x", "list"],
        ["backup", "~nobody-of-this-name/x"],
        ["backup", "--verify", "x" * 300],
        ["backup", "--verify", "x", "--backup-passphrase-fd", "99999999999"],
        ["init", "--key-file", "~nobody-of-this-name/k"],
        ["init", "--key-file", ""],
    ],
)
def test_paths_and_descriptors_that_cannot_be_are_told(machine: Machine, words: list[str]) -> None:
    done = machine.run(*words, at=machine.project("api"))
    assert done.stderr.startswith("error: [INVALID_ARGUMENTS]"), done.stderr
