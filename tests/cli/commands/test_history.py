"""`history`, `restore` and `purge`."""

import json

import pytest

from tests.support.machine import Machine
from tests.support.terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_history_shows_who_stored_what_and_restore_brings_it_back(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "T", at=project, stdin="canary-mine")
    with machine.server(at=project) as server:
        for number in range(25):
            server.text("set_secret", name="T", value=f"canary-{number}")
        assert "restore T`" in server.text("delete_secret", name="T")
    shown = machine.run("history", "T", at=project)
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["VERSION", "STORED", "BY", "FROM"]
    assert (lines[1].split()[0], lines[1].split()[-1], "an agent" in lines[1]) == ("27", "deleted", True)
    assert (lines[-1].split()[0], "you" in lines[-1], "~/work/api" in lines[-1]) == ("1", True, True)
    assert len(lines) == 22
    assert shown.stderr.splitlines()[0] == "Not listed: 6 versions stored by agents. To list them, use --all."
    assert len(machine.run("history", "T", "--all", at=project).stdout.splitlines()) == 28
    told = json.loads(machine.run("history", "T", "--json", at=project).stdout)
    assert [told[0]["version"], told[0]["deleted"], told[-1]["entered_by"]] == [27, True, "person"]
    assert machine.run("get", "T").returncode == 1
    done = machine.run("restore", "T", "--version", "1", at=project)
    assert done.stdout.startswith("Restored 'T': version 28 has the value that you stored as version 1 on ")
    assert machine.run("get", "T").stdout == "canary-mine"
    assert machine.run("restore", "T", "--version", "1").stdout.startswith("Nothing to change")
    for arguments in (("restore", "T", "--version", "99"), ("restore", "ABSENT"), ("history", "ABSENT")):
        assert machine.run(*arguments).returncode == 1, arguments
    assert machine.run("restore", "T", "--version", "x").returncode == 2
    assert "canary" not in shown.stdout + shown.stderr + done.stdout + done.stderr


def test_purging_asks_and_takes_all_away(machine: Machine) -> None:
    for value in ("one", "two"):
        machine.run("set", "T", stdin=value)
    assert machine.run("purge", "T").returncode == 2
    code, screen = on_a_terminal(machine, ["purge", "T"], machine.home, [("[y/N]", "n\n")])
    assert (code, "2 versions" in screen, machine.run("get", "T").stdout) == (1, True, "two")
    code, screen = on_a_terminal(machine, ["purge", "T"], machine.home, [("[y/N]", "y\n")])
    assert (code, "Purged 'T' of scope 'shared'." in screen) == (0, True)
    assert machine.run("history", "T").returncode == 1
    for name in ("A", "B"):
        machine.run("set", name, "--scope", "acme", stdin="v")
    machine.run("delete", "A", "--scope", "acme", "--yes")
    done = machine.run("purge", "--deleted", "--yes")
    assert (done.stdout, "'A' of scope 'acme'" in done.stderr) == ("Purged 'A' of scope 'acme'.\n", True)
    assert machine.run("purge", "--deleted", "--yes").stderr == "There are no deleted secrets.\n"
    assert machine.run("purge").returncode == 2
    assert machine.run("purge", "B", "--deleted").returncode == 2
    assert machine.run("get", "B", "--scope", "acme").stdout == "v"
