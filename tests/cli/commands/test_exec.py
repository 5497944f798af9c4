"""`exec` replaces itself with the program, or reports why it cannot."""

import sys

import pytest

from tests.support.machine import Machine


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
