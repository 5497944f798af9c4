"""`exec` replaces itself with the program, or reports why it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_exec_becomes_the_program_with_the_secrets_in_its_environment(machine: Machine) -> None:
    value = "a 'b' $(touch x)\nüé"
    machine.run("set", "KEPT", "--use-only", stdin=value)
    machine.run("set", "PLAIN", stdin="p")
    show = "import os; print([os.environ[n] for n in ('KEPT', 'PLAIN')], os.environ['HOME'], end='')"
    done = machine.run("exec", "--only", "KEPT", "--only", "PLAIN", "--", sys.executable, "-c", show)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{[value, 'p']} {machine.home}", "")
    assert machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "exit 7").returncode == 7
    assert machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "kill -9 $$").returncode == -9
    piped = machine.run("exec", "--only", "PLAIN", "--", "sh", "-c", "cat; echo $PLAIN", stdin="given\n")
    assert piped.stdout == "given\np\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--only", "ABSENT", "--", "true"], "NOT_FOUND"),
        (["--only", "PLAIN"], "INVALID_ARGUMENTS"),
        (["--only", "PLAIN", "--", "no-such-program"], "INVALID_ARGUMENTS"),
        (["--only", "with-dash", "--", "true"], "INVALID_NAME"),
        (["--only", "LD_PRELOAD", "--", "true"], "INVALID_NAME"),
        (["--only", "Path", "--", "true"], "INVALID_NAME"),
        (["--only", "NUL", "--", "true"], "INVALID_VALUE"),
    ],
)
def test_exec_says_why_it_cannot(machine: Machine, arguments: list[str], code: str) -> None:
    for name, value in {"PLAIN": "p", "with-dash": "d", "LD_PRELOAD": "/x.so", "Path": "/x", "NUL": "a\0b"}.items():
        machine.run("set", name, stdin=value)
    done = machine.run("exec", *arguments)
    assert (done.returncode != 0, done.stderr.split()[1]) == (True, f"[{code}]")


WITHOUT_RE2 = """
import runpy, sys
sys.modules["re2"] = None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the program as on a system without google-re2. This is a stand-in: the import fails, as it does there."""


def without_re2(machine: Machine, *arguments: str, at: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-P", "-c", WITHOUT_RE2, PROGRAM[-1], *arguments]
    return subprocess.run(
        words,
        cwd=at,
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )


def test_without_re2_redaction_says_what_is_missing_and_runs_nothing(machine: Machine) -> None:
    project = machine.project("api")
    machine.run("set", "TOKEN", at=project, stdin="canary")
    words = ("--only", "TOKEN", "--", "touch", "began")
    refused = without_re2(machine, "exec", "--redact", *words, at=project)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"error: [{Code.INVALID_PATTERN}] Patterns and redaction need")
    assert "google-re2" in refused.stderr
    assert not (project / "began").exists()
    assert without_re2(machine, "exec", "--only", "TOKEN", "--", "no-such", at=project).returncode == 127
    assert without_re2(machine, "exec", *words, at=project).returncode == 0
    assert (project / "began").exists()


def test_without_re2_a_policys_pattern_denies_everything_and_says_what_is_missing(machine: Machine) -> None:
    project = machine.project("api")
    rule = "{name: a, conditions: [{path: args.name, op: regex, value: ^A}]}"
    policy = machine.home / ".config" / "claude-secrets" / "policy.yml"
    policy.write_text(f'version: "1"\ndefault: allow\ntools: {{get_secret: {{rules: [{rule}]}}}}\n')
    assert machine.run("policy", "explain", "get_secret", "ABC", at=project).returncode == 0
    refused = without_re2(machine, "policy", "explain", "get_secret", "ABC", at=project)
    assert refused.returncode != 0
    assert "google-re2" in refused.stdout + refused.stderr
    assert "INTERNAL" not in refused.stdout + refused.stderr
    machine.run("set", "ABC", at=project, stdin="canary")
    words = [sys.executable, "-P", "-c", WITHOUT_RE2, PROGRAM[-1]]
    with Wire(words, project, machine.environment) as wire:
        wire.shake_hands()
        assert wire.code("get_secret", name="ABC") == Code.INVALID_PATTERN
        assert wire.code("search_secrets", pattern="A") == Code.INVALID_PATTERN
