"""`log` reports events, and detects tampering."""

import json
import re

import pytest

from tests.support import sqlite_attacker as attacker
from tests.support.machine import Machine

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_the_log_tells_what_was_asked_for_and_finds_what_it_is_asked_for(machine: Machine) -> None:
    project = machine.project("api", ["TOKEN"])
    with machine.server(project) as wire:
        wire.text("set_secret", name="TOKEN", value="canary")
        wire.text("get_secret", name="TOKEN")
        for _ in range(3):
            wire.code("get_secret", name="OTHER")
    whole = machine.run("log")
    assert "canary" not in whole.stdout
    lines = whole.stdout.splitlines()
    assert ["set_secret TOKEN" in lines[0], "get_secret TOKEN" in lines[1]] == [True, True]
    assert "NOT_ALLOWLISTED" in lines[2]
    assert "agent “test 1” in ~/work/api; 3 times" in lines[2]
    for arguments, count in {
        ("--name", "TOKEN"): 2,
        ("--tool", "get_secret"): 2,
        ("--denied",): 1,
        ("--since", "1h"): 3,
        ("--since", "2020-01-01"): 3,
        ("--since", "2999-01-01"): 0,
        ("--project", str(project)): 3,
        ("--project", str(machine.home)): 0,
    }.items():
        assert len(json.loads(machine.run("log", "--json", *arguments).stdout)) == count, arguments
    assert machine.run("log", "--since", "yesterday").returncode == 2


def test_a_persons_failed_commands_are_in_the_log(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "THERE", at=project, stdin="canary")
    failing = [
        ("get", "MISSING"),
        ("history", "MISSING"),
        ("rename", "MISSING", "OTHER"),
        ("purge", "MISSING", "--yes"),
        ("access", "MISSING", "--use-only"),
        ("exec", "--only", "MISSING", "--", "true"),
        ("set", "THERE"),  # an empty value counts as a typing error and is not logged
    ]
    for arguments in failing:
        assert machine.run(*arguments, at=project, stdin="").returncode != 0, arguments
    events = json.loads(machine.run("log", "--json", "--denied", at=project).stdout)
    assert {(event["caller"], event["project"]) for event in events} == {("person", str(project))}
    assert [(event["action"], event["code"]) for event in events] == [
        *(
            (" ".join(arguments[:1] + ("use-only",) * (arguments[0] == "access")), "NOT_FOUND")
            for arguments in failing[:-1]
        )
    ]
    assert {event["name"] for event in events} == {"MISSING"}


def test_failures_are_named_and_aligned_as_successes_are(machine: Machine) -> None:
    machine.run("set", "THERE", stdin="v")
    assert machine.run("key", "remove", "nosuch", "--yes").returncode == 1
    assert machine.run("recover", "use", stdin="AAAA\n").returncode != 0
    assert machine.run("exec", "--only", "THERE", "--", "no-such-program").returncode == 127
    assert machine.run("log", "--tool", "key remove").stdout.count("NOT_FOUND") == 1
    lines = machine.run("log").stdout.splitlines()
    assert {re.split(r"  +", line)[1] for line in lines} >= {"done", "NOT_FOUND", "INVALID_ARGUMENTS"}
    starts = [re.match(r"\S+  \S+ +", line) for line in lines]
    assert len({start and start.end() for start in starts}) == 1, lines


def test_a_command_that_cannot_give_all_values_logs_none_of_them_as_given(machine: Machine) -> None:
    for name, value in {"THERE": "v", "NUL": "a\0b", "OPEN": "${x}"}.items():
        machine.run("set", name, stdin=value)
    (machine.home / "refs.env").write_text("A=secret://THERE\nB=secret://GONE\nC=secret://AWAY\n")
    missing = ("--only", "THERE", "--only", "GONE", "--only", "AWAY")
    refused = {
        ("exec", *missing, "--", "true"): ["GONE", "AWAY"],
        ("export", *missing): ["GONE", "AWAY"],
        ("export", "--file", "refs.env"): ["GONE", "AWAY"],
        ("exec", "--only", "THERE", "--only", "NUL", "--", "true"): [],
        ("export", "--only", "THERE", "--only", "NUL"): [],
        ("export", "--format", "dotenv", "--only", "THERE", "--only", "OPEN"): [],
        ("exec", "--only", "THERE", "--", "no-such-program"): [""],
        ("access", "THERE", "GONE", "--use-only"): ["GONE"],
    }
    for arguments, names in refused.items():
        before = len(json.loads(machine.run("log", "--json").stdout))
        assert machine.run(*arguments).returncode != 0, arguments
        events = json.loads(machine.run("log", "--json").stdout)[before:]
        assert [event["name"] for event in events if event["outcome"] == "refused"] == names, arguments
        assert [event for event in events if event["outcome"] != "refused"] == [], arguments
    assert machine.run("export", "--on-missing", "keep", "--file", "refs.env").returncode == 0
    event = json.loads(machine.run("log", "--json").stdout)[-1]
    assert (event["action"], event["name"], event["outcome"]) == ("export", "THERE", "done")


@pytest.mark.parametrize(
    "meddle",
    [
        "DELETE FROM audit WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "UPDATE audit SET sequence = -sequence",
        "UPDATE audit SET token = (SELECT token FROM audit WHERE sequence = 1) WHERE sequence = 2",
        "DELETE FROM audit",
    ],
)
def test_a_log_that_was_meddled_with_is_found(machine: Machine, meddle: str) -> None:
    for name in ("A", "B", "C"):
        machine.run("set", name, stdin="v")
    assert (
        machine.run("log", "--verify").stdout
        == "The log is intact (3 entries): no entry was changed, moved or removed.\n"
    )
    with attacker.attacker(machine.store) as connection:
        connection.execute(meddle)
    done = machine.run("log", "--verify")
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_TAMPERED]")
    assert machine.run("doctor").returncode == 1
