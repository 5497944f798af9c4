"""Hooks on Windows, where no signal can end a wait: they answer within their time limit."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.machine import PROGRAM, Machine
from tests.support.program import HOOK_SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

DEADLINE = 100
VALUE = "canary-of-the-hook"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path).use_key_file()
    machine.keep("T", VALUE, at=machine.project("api"))
    return machine


def begun(machine: Machine, event: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*PROGRAM, "hook", event],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=machine.home / "work" / "api",
        env={**machine.environment, HOOK_SECONDS: "0.5"},
    )


def test_a_hook_whose_input_never_ends_withholds_the_output(machine: Machine) -> None:
    with begun(machine, "post-tool-use") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b'{"tool_response": "' + VALUE.encode())
        process.stdin.flush()
        assert process.wait(DEADLINE) == 0
        said, noted = process.stdout.read(), process.stderr.read()
    assert noted.rstrip() == b"claude-secrets hook post-tool-use: TimeoutError"
    assert (b"(TimeoutError)" in said, b"canary" in said) == (True, False)


def test_a_hook_whose_store_another_process_has_locked_withholds_the_output(machine: Machine) -> None:
    event = {"cwd": str(machine.home / "work" / "api"), "tool_name": "Bash", "tool_response": {"stdout": VALUE}}
    with closing(sqlite3.connect(machine.store, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("UPDATE store SET generation = generation")
        with begun(machine, "post-tool-use") as process:
            said, noted = process.communicate(json.dumps(event).encode(), DEADLINE)
        holder.execute("ROLLBACK")
    assert noted.rstrip() == b"claude-secrets hook post-tool-use: TimeoutError"
    assert (b"(TimeoutError)" in said, b"canary" in said) == (True, False)


def test_a_hook_that_is_in_time_replaces_the_value(machine: Machine) -> None:
    event = {"cwd": str(machine.home / "work" / "api"), "tool_name": "Bash", "tool_response": {"stdout": VALUE}}
    done = machine.run("hook", "post-tool-use", at=machine.home / "work" / "api", stdin=json.dumps(event))
    assert (done.returncode, done.stderr) == (0, "")
    assert VALUE not in done.stdout
    assert "secret://T" in done.stdout
