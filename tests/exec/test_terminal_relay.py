"""Programs on a terminal: they behave as without `exec`, and their output shows no value."""

import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exec_values import exec_words
from tests.support.machine import Machine
from tests.support.posix import skip_without
from tests.support.requirements import require
from tests.support.terminals import Bash

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"


@pytest.fixture
def bash(machine: Machine, here: Path) -> Iterator[Bash]:
    start = shlex.join(exec_words("--only", "TOKEN"))
    require("bash")
    with Bash(here, {**machine.environment, "RUN": start, "PYTHONDONTWRITEBYTECODE": "1"}) as bash:
        yield bash


def test_a_program_has_a_terminal_of_the_same_size(bash: Bash) -> None:
    assert bash.run("$RUN stty size") == "31 97\n"
    assert bash.run("$RUN sh -c 'test -t 0 && test -t 1 && test -t 2 && tty </dev/tty >/dev/null; echo $?'") == "0\n"
    bash.type("$RUN sh -c 'trap \"stty size\" WINCH; echo go; while :; do sleep 0.05; done'\n")
    bash.see("\ngo\n")
    bash.resize((12, 34))
    bash.see("12 34\n")
    bash.type("\x03")
    bash.see("ready> ")


def test_a_program_reads_the_terminal_with_and_without_echo(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sh -c 'read a; stty -echo; printf pass:; read b; stty echo; echo; echo \"[$a$b]\"'\n")
    bash.see("echo.*\n")
    bash.type("visible\n")
    bash.see("visible\npass:")
    bash.type("hidden\n")
    assert "hidden" not in bash.see(r"\n\[visible")
    bash.see("ready> ")
    assert bash.settings() == before


def test_what_it_prints_to_a_terminal_is_redacted_and_nothing_is_held_back_for_long(bash: Bash) -> None:
    assert bash.run("$RUN sh -c 'echo \"<$TOKEN>\"; echo $TOKEN >&2'") == "<[secret://TOKEN]>\n[secret://TOKEN]\n"
    bash.type("$RUN sh -c 'printf can; read x; echo \"[$x]\"'\n")
    bash.see("x.*\ncan")  # the first letters of a value
    bash.type("ca")
    bash.see("ca")
    bash.type("\n")
    bash.see(r"\n\[ca\]\n")


def test_stopping_and_going_on(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sh -c 'echo go; read x; echo \"got $x\"'\n")
    bash.see("\ngo\n")
    bash.type("\x1a")
    bash.see("Stopped")
    bash.see("ready> ")
    assert bash.settings() == before
    assert "Stopped" in bash.run("jobs")
    bash.type("fg\n")
    bash.see("fg\n.*\n")
    bash.type("this\n")
    bash.see("got this\n")
    bash.see("ready> ")
    assert bash.settings() == before


def test_interrupting_and_being_killed(bash: Bash) -> None:
    before = bash.settings()
    bash.type("$RUN sleep 100\n")
    bash.see("100\n")
    time.sleep(1)  # until the program runs; an earlier key gives the same result
    bash.type("\x03")
    bash.see("ready> ")
    assert bash.run("echo $?") == "130\n"
    bash.run("$RUN sh -c 'stty raw -echo; kill -9 $$'")
    assert bash.settings() == before
    assert bash.run("echo $?") == "137\n"


def test_typing_more_than_a_program_reads_holds_nothing_up(bash: Bash) -> None:
    bash.type("$RUN sh -c 'stty -echo; echo go; while test ! -e end; do sleep 0.1; done; echo over; cat >got'\n")
    bash.see("\ngo\n")
    for number in range(200):
        bash.type(f"{number:0100}\n")
    bash.run_elsewhere("touch end")
    bash.see("over\n")
    time.sleep(0.5)
    bash.type("\x04")
    bash.see("ready> ")
    assert bash.run("wc -l <got; stty echo").split()[0] == "200"


def test_what_a_program_leaves_behind_at_a_terminal_goes_on(bash: Bash) -> None:
    assert bash.run("$RUN sh -c '(sleep 2; touch quiet) >/dev/null 2>&1 </dev/null & sleep 0.2'") == ""
    bash.run("$RUN sh -c '(sleep 2; echo late $TOKEN) & sleep 0.2'")
    bash.see(r"late \[secret://TOKEN\]\n")
    assert bash.run("ls quiet") == "quiet\n"


def test_what_was_printed_before_stopping_is_shown_before(bash: Bash) -> None:
    bash.type("$RUN sh -c 'echo go; seq 1 20000; kill -STOP $$; echo on'\n")
    bash.see("\n20000\n")
    bash.see("Stopped")
    bash.see("ready> ")
    bash.type("fg\n")
    bash.see("\non\nready> ")


def test_a_signal_that_comes_early_leaves_the_terminal_as_it_was(bash: Bash, here: Path) -> None:
    # The signal must come in the first milliseconds, so this wrapper sends it before the program can begin.
    (here / "early.py").write_text(
        "import os, signal, sys\n"
        "from claude_secrets.exec import terminal_relay\n"
        "take = terminal_relay._PersonsTerminal.take\n"
        "def early(self):\n"
        "    answer = take(self)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return answer\n"
        "terminal_relay._PersonsTerminal.take = early\n"
        "from claude_secrets.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    python = shlex.quote(sys.executable)
    (here / "script").write_text(
        "stty -g >before\n"
        f"{python} early.py exec --redact --only TOKEN -- sh -c 'sleep 9; echo no'\n"
        "echo $?\n"
        "stty -g >after\n"
    )
    assert bash.run("sh script").endswith("143\n")
    assert (here / "before").read_text() == (here / "after").read_text()


def test_in_the_background(bash: Bash) -> None:
    before = bash.settings()
    bash.run("$RUN sh -c 'sleep 1; echo \"late $TOKEN\"; exit 3' & true")
    assert bash.settings() == before
    assert bash.run("echo typed here") == "typed here\n"
    shown = bash.run('wait %1; echo "code $?"')
    assert "late [secret://TOKEN]\n" in shown
    assert "code 3\n" in shown
    assert bash.settings() == before


def test_where_only_the_output_is_a_terminal(bash: Bash) -> None:
    assert bash.run("echo piped | $RUN sh -c 'cat; test -t 0 || echo no; test -t 1 && echo yes'") == "piped\nno\nyes\n"
    assert bash.run("$RUN sh -c 'echo out; echo \"$TOKEN\" >&2' 2>err; cat err") == "out\n[secret://TOKEN]\n"
    assert bash.run("$RUN sh -c 'test -t 1 || echo no; test -t 0 && echo yes' | cat") == "no\nyes\n"
    assert "cannot be run" in bash.run("touch bad; chmod +x bad; printf '\\177ELF' > bad; $RUN ./bad")


STREAMS = [(i, o, e) for i in ("", "echo piped |") for o in ("", "| cat") for e in ("", "2>err")]


@pytest.mark.parametrize("streams", STREAMS, ids=" ".join)
def test_a_program_sees_the_same_terminals_as_without_exec(
    bash: Bash, here: Path, streams: tuple[str, str, str]
) -> None:
    into, out, errors = streams
    (here / "ask").write_text("test -t 0; a=$?; test -t 1; b=$?; test -t 2; echo $a $b $? >seen\n")
    (here / "write").write_text(
        "echo out $TOKEN; sleep 0.3; echo err $TOKEN >&2; sleep 0.3; seq 1 20000; echo end >&2\n"
    )
    seen = []
    for run in ("", "$RUN "):
        bash.run(f"{into} {run} sh ask {errors} {out}")
        seen.append((here / "seen").read_text().split())
    assert seen == [[str(int(bool(each))) for each in streams]] * 2
    shown = bash.run(f"{into} $RUN sh write {errors} {out}")
    numbers = "".join(f"{number}\n" for number in range(1, 20001))
    if errors or out:
        told = (here / "err").read_text() if errors else shown
        assert told.index("err [secret://TOKEN]\n") < told.index("end\n")
        shown = shown.replace("err [secret://TOKEN]\n", "").replace("end\n", "")
        assert shown == f"out [secret://TOKEN]\n{numbers}"
    else:
        assert shown == f"out [secret://TOKEN]\nerr [secret://TOKEN]\n{numbers}end\n"


SHOWS_ITS_SIZE = """
import os, signal, sys, time
def tell(*_):
    size = os.get_terminal_size(int(sys.argv[1]))
    os.write(int(sys.argv[1]), f"{size.lines} {size.columns}\\n".encode())
signal.signal(signal.SIGWINCH, tell)
signal.signal(signal.SIGCONT, lambda *_: os.write(int(sys.argv[1]), b"going\\n"))
signal.signal(signal.SIGINT, signal.SIG_DFL)
tell()
while True: time.sleep(1)
"""


@pytest.mark.parametrize("streams", [each for each in STREAMS if "" in each[1:]], ids=" ".join)
def test_keys_and_the_size_reach_a_program_on_either_terminal(
    bash: Bash, here: Path, streams: tuple[str, str, str]
) -> None:
    into, out, errors = streams
    (here / "wait.py").write_text(
        SHOWS_ITS_SIZE
    )  # not a shell, which may miss the signal if it is stopped while it forks
    bash.run("set -o pipefail")
    before = bash.settings()
    bash.type(f"{into} $RUN {shlex.quote(sys.executable)} wait.py {2 if out else 1} {errors} {out}\n")
    bash.see("\n31 97\n")
    bash.resize((12, 34))
    bash.see("12 34\n")
    bash.type("\x1a")
    bash.see("Stopped")
    bash.see("ready> ")
    assert bash.settings() == before
    bash.resize((13, 35))
    bash.type("fg\n")
    bash.see("going\n")
    bash.see("13 35\n")
    bash.type("\x03")
    bash.see("ready> ")
    assert bash.run("echo $?") == "130\n"
    assert bash.settings() == before


def test_standard_error_may_be_another_terminal(bash: Bash, here: Path) -> None:
    ours, its = os.openpty()
    other = os.ttyname(its)
    assert bash.run(f"$RUN sh -c 'echo out; echo err $TOKEN >&2; test -t 2; echo $?' 2>{other}") == "out\n0\n"
    assert os.read(ours, 1000) == b"err [secret://TOKEN]\r\n"
    assert bash.run("$RUN sh -c 'echo out; echo err >&2; echo end' 2>/dev/tty") == "out\nerr\nend\n"
    os.close(its)
    os.close(ours)
