"""Signals: at any moment and to any thread, a signal ends the program, and the program prints nothing."""

import ctypes
import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_secrets.model import Access
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire
from tests.support.posix import skip_without
from tests.support.requirements import require_real
from tests.support.rounds import rounds

skip_without("POSIX signals")
assert sys.platform != "win32"

STRUCK = [sys.executable, "-P", str(Path(__file__).parents[1].joinpath("support", "signalled_program.py"))]
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
INTERRUPTED = 130
MOMENTS = 12


@pytest.fixture(scope="module", name="machine")
def machine_with_token(shared_machine: Machine) -> Machine:
    shared_machine.keep("TOKEN", "value", at=shared_machine.project("api"), access=Access.READABLE)
    return shared_machine


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# An idle server


def threads(wire: Wire) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{wire.process.pid}/task").iterdir()]


def sleeps(wire: Wire, thread: int) -> bool:
    return ") S " in Path(f"/proc/{wire.process.pid}/task/{thread}/stat").read_text()


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_to_any_thread_of_an_idle_server_ends_it_at_once(machine: Machine, number: signal.Signals) -> None:
    require_real(sys.platform == "linux", "signals to a single thread, which need Linux")
    for which in range(-4, 0) if number is signal.SIGINT else (-1,):
        with machine.server(machine.project("api")) as wire:
            wire.text("get_secret", name="TOKEN")
            wait_for(lambda: all(sleeps(wire, thread) for thread in threads(wire)))
            assert ctypes.CDLL(None).tgkill(wire.process.pid, sorted(threads(wire))[which], number) == 0
            assert wire.process.wait(DEADLINE) == 0
            assert wire.unread() == b""
        assert wire.stderr == b""


# Every moment


def line(method: str, number: int | None = None, **params: object) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if number is None else {**message, "id": number}).encode() + b"\n"


SESSION = (
    line("initialize", 1, protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "test", "version": "1"})
    + line("notifications/initialized")
    + line("tools/call", 2, name="get_secret", arguments={"name": "TOKEN"})
)


def strike(
    machine: Machine, number: int, moment: int, *arguments: str, stdin: bytes
) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """Run the program and send it a signal at one moment (0: never). Return the result and the report."""
    report = machine.home / "report"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [*STRUCK, str(report), str(int(number)), str(moment), *arguments],
        input=stdin,
        capture_output=True,
        timeout=DEADLINE,
        cwd=machine.project("api"),
        env=machine.environment,
        start_new_session=True,
        check=False,
    )
    return done, report.read_text() if report.exists() else ""


def moments(machine: Machine, *arguments: str, stdin: bytes) -> list[int]:
    """Return moments of an undisturbed run: the first, some throughout, and more near the end, when a server serves."""
    done, passed = strike(machine, 0, 0, *arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert int(passed) > 1000
    whole = int(passed)
    return [
        1,
        100,
        *(whole * each // MOMENTS for each in range(1, MOMENTS)),
        *(whole - 5 * 4**each for each in range(7)),
    ]


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_server_that_gets_a_signal_at_any_moment_ends_and_prints_nothing(
    machine: Machine, number: signal.Signals
) -> None:
    codes, sent = set(), 0
    whole = moments(machine, "serve", stdin=SESSION)
    for moment in whole[:: -rounds(2 if number is signal.SIGINT else 3, 1)]:
        done, report = strike(machine, number, moment, "serve", stdin=SESSION)
        assert done.stderr == b"", moment
        assert len(done.stdout.splitlines()) <= 2
        sent += report == "sent"
        if report == "sent":
            codes.add(done.returncode)
    assert sent >= 4
    assert codes == {0, INTERRUPTED if number is signal.SIGINT else -number}


COMMANDS = {
    "get": (["get", "TOKEN"], b""),
    "set": (["set", "OTHER"], b"value"),
    "list": (["list"], b""),
    "doctor": (["doctor"], b""),
    "hook": (["hook", "session-start"], b'{"cwd":"/"}'),
    "export": (["export", "--only", "TOKEN"], b""),
    "exec": (["exec", "--only", "TOKEN", "--", "true"], b""),
    "help": (["--help"], b""),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_interrupted_at_any_moment_ends_with_130_and_prints_nothing(
    machine: Machine, name: str
) -> None:
    arguments, stdin = COMMANDS[name]
    if name == "exec":  # `exec` becomes another program, which writes no report
        whole = moments(machine, "get", "TOKEN", stdin=stdin)
    else:
        whole = moments(machine, *arguments, stdin=stdin)
    sent = 0
    for moment in whole[:: rounds(2, 1)]:
        done, report = strike(machine, signal.SIGINT, moment, *arguments, stdin=stdin)
        if report == "sent":
            assert (done.returncode, done.stderr) == (INTERRUPTED, b""), moment
            sent += 1
    assert sent >= MOMENTS // 2
    assert machine.run("get", "TOKEN", at=machine.project("api")).stdout == "value"


@pytest.mark.parametrize("library", ["pydantic_core", "_sqlite3", "_ssl"])
def test_a_server_that_is_interrupted_while_it_loads_ends_though_its_client_waits(
    machine: Machine, library: str
) -> None:
    require_real(Path("/proc/self/maps").exists(), "/proc")
    with Wire([*PROGRAM, "serve"], machine.project("api"), machine.environment) as wire:
        maps = Path(f"/proc/{wire.process.pid}/maps")
        wait_for(lambda: library in maps.read_text())
        wire.process.send_signal(signal.SIGINT)
        assert wire.process.wait(DEADLINE) in (0, INTERRUPTED)
    assert wire.stderr == b""


# Python's handling of interrupts


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    head = "import signal, sys, weakref\nfrom claude_secrets import interrupts\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", head + code], capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def test_a_second_interrupt_does_not_stop_the_cleaning_up_after_the_first() -> None:
    done = run_python(
        "interrupts.begin()\ninterrupts.let_clean_up()\n"
        "def clean_up():\n    signal.raise_signal(signal.SIGINT)\n    print('cleaned up')\n"
        "try:\n"
        "    try:\n        signal.raise_signal(signal.SIGINT)\n        print('went on')\n"
        "    except KeyboardInterrupt:\n        raise ValueError from None\n"
        "    finally:\n        clean_up()\n"
        "except ValueError:\n    pass\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("cleaned up\n", "", 0)


def test_an_interrupt_raises_again_once_the_first_was_dealt_with() -> None:
    done = run_python(
        "interrupts.begin()\ninterrupts.let_clean_up()\n"
        "for _ in range(2):\n"
        "    try:\n        signal.raise_signal(signal.SIGINT)\n        print('went on')\n"
        "    except KeyboardInterrupt:\n        pass\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_an_interrupt_that_python_would_print_and_forget_ends_the_program() -> None:
    done = run_python(
        "interrupts.begin()\ninterrupts.let_clean_up()\n"
        "class Thing: pass\nthing = Thing()\n"
        "kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "del thing\nprint('went on')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", INTERRUPTED)


def test_an_interrupt_that_was_ignored_at_the_start_still_is() -> None:
    done = run_python(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\ninterrupts.begin()\ninterrupts.let_clean_up()\n"
        "signal.raise_signal(signal.SIGINT)\nprint('went on')\n"
    )
    assert (done.stdout, done.returncode) == ("went on\n", 0)


def test_the_console_script_begins_where_interrupts_are_taken() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, _ = project["scripts"]["claude-secrets"].partition(":")
    done = run_python(
        f"import {module}\nprint(not {{*sys.modules}} & {{'claude_secrets.cli.main', 'argparse'}}, flush=True)\n"
        "signal.raise_signal(signal.SIGINT)\nprint('went on')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", INTERRUPTED)
