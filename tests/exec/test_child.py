"""The program that `exec` starts: its resource limits, and its end when the redacting process ends."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.exec_values import exec_words
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import skip_without

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"

CORE = "ulimit -Sc; ulimit -Hc"


@pytest.mark.parametrize("limits", ["0 0", "0 4000", "512 4000", "4000 4000"])
@pytest.mark.parametrize("redact", ["--redact", ""])
def test_a_program_may_dump_its_core_as_far_as_before(machine: Machine, here: Path, redact: str, limits: str) -> None:
    soft, hard = limits.split()
    run = shlex.join([*PROGRAM, "exec", *redact.split(), "--only", "TOKEN", "--"])
    for on in ("", "script -qec '{}' /dev/null"):
        inside = here / "inside"
        inside.write_text(f"{run} bash -c '{{ {CORE}; ulimit -Sc {hard} && ulimit -Sc; }} >limits'\n")
        start = on.format(f"sh {inside}") or f"sh {inside}"
        line = ["bash", "-c", f"ulimit -Sc {soft}; ulimit -Hc {hard}; {start}"]
        subprocess.run(line, cwd=here, stdout=subprocess.PIPE, timeout=DEADLINE, env=machine.environment, check=True)
        assert (here / "limits").read_text().split() == [soft, hard, hard]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")
@pytest.mark.parametrize("signal_name", ["QUIT", "SEGV"])
def test_what_redacts_dumps_no_core(machine: Machine, here: Path, signal_name: str) -> None:
    number = getattr(signal, f"SIG{signal_name}")
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "trap '' QUIT; echo $PPID; exec sleep 100"]
    start = ["bash", "-c", f"ulimit -Sc $(ulimit -Hc); trap - QUIT; exec {shlex.join(words)}"]
    with subprocess.Popen(start, cwd=here, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n"
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        soft = next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size"))
        assert soft in ("0", "1")
        os.kill(process.pid, signal.SIGSEGV)
        status = os.waitpid(process.pid, 0)[1]
        process.returncode = -number
    assert (os.WTERMSIG(status), os.WCOREDUMP(status)) == (signal.SIGSEGV, False)
    assert [file.name for file in here.iterdir()] == []


KILLED = {
    "on pipes": "{} | cat >/dev/null",
    "on a terminal": "script -qec '{}' /dev/null >/dev/null",
    "standard error on a terminal": "script -qec 'sh -c \"{} >/dev/null\"' /dev/null >/dev/null",
    "in a session of its own": "setsid {} >/dev/null",
    "where it ignores hangups": "nohup {} >/dev/null",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program of its parent's end")
@pytest.mark.parametrize("how", KILLED)
def test_a_program_ends_when_what_redacts_it_is_killed(machine: Machine, here: Path, how: str) -> None:
    (here / "program").write_text("echo $$ $PPID >number.new; mv number.new number; while :; do sleep 0.05; done\n")
    (here / "run").write_text(f"echo $$ >ours; exec {shlex.join(exec_words('--only', 'TOKEN'))} sh program\n")
    with subprocess.Popen(["bash", "-c", KILLED[how].format("sh run")], cwd=here, env=machine.environment) as process:
        number = wait_for(here / "number").split()[0]
        os.kill(int((here / "ours").read_text()), signal.SIGKILL)
        wait_for_end(number)
        process.wait(DEADLINE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program of its parent's end")
def test_a_program_that_is_started_by_what_was_just_killed_ends_too(machine: Machine, here: Path) -> None:
    (here / "late.py").write_text(
        "import os, signal, sys, time\n"
        "from claude_secrets.exec import child\n"
        "begin = child.forget_handlers\n"
        "def late():\n"
        "    with open('number', 'w') as file: file.write(str(os.getpid()))\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    begin()\n"
        "parent, child.forget_handlers = os.getpid(), late\n"
        "from claude_secrets.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "late.py", "exec", "--redact", "--only", "TOKEN", "--", "touch", "began"]
    done = subprocess.run(words, cwd=here, env=machine.environment, timeout=DEADLINE, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for_end((here / "number").read_text())
    assert not (here / "began").exists()


def wait_for_end(number: str) -> None:
    """Wait until a process has ended. A process that its parent has not waited for counts as ended."""
    ends = time.monotonic() + DEADLINE
    while (status := Path(f"/proc/{number}/stat")).exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < ends
        time.sleep(0.02)


def wait_for(path: Path) -> str:
    """Wait for a file and return its content."""
    ends = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < ends
        time.sleep(0.02)
    return path.read_text()
