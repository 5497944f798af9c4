"""`set`: the source of a value, the exact stored value, and its expiry."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.machine import Machine
from tests.support.terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_a_value_from_standard_input_comes_back_exactly(machine: Machine) -> None:
    for given, stored in [("tok", "tok"), ("tok\n", "tok"), ("tok\r\n", "tok"), ("a\nb\n", "a\nb\n"), ("\n\n", "\n\n")]:
        assert machine.run("set", "T", stdin=given).returncode == 0
        assert machine.run("get", "T").stdout == stored
    assert machine.run("set", "T", "--exact", stdin="tok\n").returncode == 0
    assert machine.run("get", "T").stdout == "tok\n"


@pytest.mark.parametrize("given", ["", "\n"], ids=["nothing", "a newline"])
def test_an_empty_value_is_refused(machine: Machine, given: str) -> None:
    done = machine.run("set", "T", stdin=given)
    assert (done.returncode, done.stderr.split()[1]) == (2, "[INVALID_VALUE]")


def test_a_hidden_prompt_takes_the_value_and_shows_nothing_of_it(machine: Machine) -> None:
    code, screen = on_a_terminal(machine, ["set", "T"], machine.home, [("not shown", "typed-value\n")])
    assert (code, "typed-value" in screen) == (0, False)
    assert "Stored 'T' (version 1)." in screen
    assert machine.run("get", "T").stdout == "typed-value"


def test_a_value_given_as_an_argument_is_refused_and_not_repeated(machine: Machine) -> None:
    done = machine.run("set", "T", "canary-in-argv")
    assert done.returncode == 2
    assert "canary" not in done.stdout + done.stderr


def test_storing_by_hand_what_an_agent_had_taken_says_whose_it_was(machine: Machine) -> None:
    evil = machine.project("evil")
    with machine.server(evil) as wire:
        wire.text("set_secret", name="GITHUB_TOKEN", value="x")
        assert machine.run("set", "GITHUB_TOKEN", stdin="canary").returncode == 3
        done = machine.run("set", "GITHUB_TOKEN", "--yes", stdin="canary")
        assert (done.returncode, "~/work/evil" in done.stderr) == (0, True)
        assert wire.code("get_secret", name="GITHUB_TOKEN") == "NOT_TRUSTED"


def test_a_value_that_is_out_of_date_is_told(machine: Machine) -> None:
    machine.run("set", "SOON", "--expires", "90d", stdin="v")
    assert machine.run("list").stdout.splitlines()[0].endswith("EXPIRES")
    assert "expire" not in machine.run("list").stderr + machine.run("doctor").stdout
    machine.run("set", "SOON", "--expires", "13d", stdin="v")
    assert "hint: 'SOON' expires in 13 days; to store a new value" in machine.run("list").stderr
    assert "1 secret will soon expire: SOON" in machine.run("doctor").stdout
    for wrong in ("2020-01-01", "soon", "0m", "99999d9"):
        done = machine.run("set", "T", "--expires", wrong, stdin="v")
        assert (done.returncode, "--expires" in done.stderr) == (2, True), wrong
    assert machine.run("get", "T").returncode == 1
    stamp = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert machine.run("set", "SOON", "--expires", stamp, stdin="v").returncode == 0
    time.sleep(2.1)
    assert "hint: 'SOON' has expired" in machine.run("list").stderr
    assert "1 secret expired: SOON" in machine.run("doctor").stdout
    assert json.loads(machine.run("list", "--json").stdout)[0]["expires"] is not None
    assert machine.run("get", "SOON").stdout == "v"
    machine.run("set", "SOON", "--expires", "never", stdin="v")
    assert machine.run("list").stderr == ""
