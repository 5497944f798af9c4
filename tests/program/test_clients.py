"""Real clients, as people install them: Claude Code registers the server and connects to it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.machine import PROGRAM, Machine
from tests.support.requirements import require

DEADLINE = 120.0


class ClaudeCode:
    """Claude Code with a separate home, run in one project's directory."""

    def __init__(self, machine: Machine, project: Path) -> None:
        self.program = require("claude")
        self.machine = machine
        self.project = project

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, "mcp", *arguments],
            cwd=self.project,
            env={**self.machine.environment, "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def claude_code(tmp_path: Path) -> ClaudeCode:
    machine = Machine(tmp_path)
    return ClaudeCode(machine, machine.project("api"))


def line_of(output: str, name: str) -> str:
    """Return the line in which `claude mcp list` reports the state of the server with that name."""
    lines = [line for line in output.splitlines() if line.startswith(f"{name}:")]
    assert len(lines) == 1, output
    return lines[0]


def test_claude_code_lists_the_server_as_connected(claude_code: ClaudeCode) -> None:
    claude_code("add", "claude-secrets", "--", *PROGRAM)
    assert line_of(claude_code("list"), "claude-secrets").endswith("✔ Connected")


def test_claude_code_connects_where_there_is_no_project(claude_code: ClaudeCode) -> None:
    # The server must start without a project, too: each call then reports what is missing.
    (claude_code.project / ".claude" / "secrets.yml").unlink()
    claude_code("add", "claude-secrets", "--", *PROGRAM)
    assert line_of(claude_code("list"), "claude-secrets").endswith("✔ Connected")
    assert not claude_code.machine.store.exists()


def test_claude_code_connects_where_config_yml_is_refused(claude_code: ClaudeCode) -> None:
    claude_code.machine.configure("store: [")
    claude_code("add", "claude-secrets", "--", *PROGRAM)
    assert line_of(claude_code("list"), "claude-secrets").endswith("✔ Connected")


def test_claude_code_does_not_call_a_server_connected_that_is_not(claude_code: ClaudeCode) -> None:
    # `claude mcp list` always exits with 0. This test shows that its output tells failures apart.
    claude_code("add", "claude-secrets", "--", *PROGRAM, "no-such-command")
    assert "✔ Connected" not in claude_code("list")
