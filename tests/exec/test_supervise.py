"""Programs on pipes: they behave as without `exec`, and their output shows no value."""

import base64
import hashlib
import os
import random
import select
import shlex
import signal
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest

from claude_secrets.exec import stream_polling
from claude_secrets.exec.streams import QUIET_SECONDS, Stream
from tests.support.exec_values import TOKEN, exec_words
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.rounds import rounds

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

PROGRAMS = {
    "an exit code": "exit 7",
    "its input": "cat; echo end",
    "both streams": "echo out; echo err >&2; exit 3",
    "killed": "kill -TERM $$",
    "killed for good": "kill -9 $$",
    "closes its output": "exec >&-; echo err >&2; exit 4",
    "closes everything": "exec >&- 2>&- <&-; exit 5",
    "no newline at its end": "printf 'no newline'",
    "bytes": r"printf '\000\377\r\n\033[1m'",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_as_without_exec(machine: Machine, program: str) -> None:
    words = ["sh", "-c", PROGRAMS[program]]
    done = [
        subprocess.run(
            start, input=b"given\n", capture_output=True, timeout=DEADLINE, env=machine.environment, check=False
        )
        for start in (
            words,
            [*exec_words("--only", "TOKEN"), *words],
            [*PROGRAM, "exec", "--only", "TOKEN", "--", *words],
        )
    ]
    plain, *others = [(one.returncode, one.stdout, one.stderr) for one in done]
    assert others == [plain, plain]


def test_what_goes_to_one_place_stays_in_order(machine: Machine) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE, env=machine.environment, check=True
    )
    assert done.stdout.decode().split() == [f"{stream}{i}" for i in range(1, 10) for stream in "oe"]


LAST_LINES = [
    "Local: http://localhost:3005",
    "Local:   http://localhost:5173/",
    "Listening on 0.0.0.0:8080",
    "Server running at http://127.0.0.1:8000",
    "* Running on http://127.0.0.1:5000",
    "ready in 312 ms",
    "Compiled successfully in 1.2s",
    "Watching for file changes...",
    "webpack 5.91.0 compiled in 845 ms",
    "Press Ctrl+C to quit",
    "Press any key to continue",
    "Are you sure? [y/N]",
    "Continue (yes/no)?",
    "Password:",
    "Username: admin",
    "Enter a number >",
    "> ",
    "$ ",
    ">>> ",
    "(gdb) ",
    "mysql> ",
    "postgres=# ",
    "Downloading 42%",
    "100%|##########| 1024/1024 [00:12<00:00, 83.2it/s]",
]


@pytest.mark.parametrize("seed", range(rounds(2, 5)))
@pytest.mark.parametrize("to", ["a pipe", "a file"])
def test_the_last_line_of_a_program_that_waits_is_shown_whole(
    tmp_path_factory: pytest.TempPathFactory, seed: int, to: str
) -> None:
    """Each stored value begins with the last character of one of these lines."""
    assert len(LAST_LINES) == 24
    machine = Machine(tmp_path_factory.mktemp("waits")).use_key_file()
    names, chosen = [f"S{number}" for number in range(5)], random.Random(seed)
    for name in names:
        value = chosen.choice(LAST_LINES)[-1] + "".join(chosen.choices(string.ascii_letters + string.digits, k=40))
        machine.keep(name, value)
    told, seen = machine.home / "told", machine.home / "seen"
    os.mkfifo(told)
    seen.write_bytes(b"")
    script = f"while IFS= read -r line; do printf '%s' \"$line\"; done <{shlex.quote(str(told))}"
    words = exec_words(*(word for name in names for word in ("--only", name)))
    with (
        seen.open("ab") as file,
        subprocess.Popen(
            [*words, "sh", "-c", script], stdout=subprocess.PIPE if to == "a pipe" else file, env=machine.environment
        ) as process,
    ):
        shown, expected = b"", b""
        with told.open("w") as tell:
            for line in LAST_LINES:
                tell.write(f"{line}\n")
                tell.flush()
                expected += line.encode()
                deadline = time.monotonic() + DEADLINE
                while shown != expected and time.monotonic() < deadline:
                    if process.stdout is None:
                        shown = seen.read_bytes()
                    elif select.select([process.stdout], [], [], 0.1)[0]:
                        shown += os.read(process.stdout.fileno(), 1 << 16)
                assert shown == expected
        assert process.wait(DEADLINE) == 0


def test_a_long_value_of_one_letter_is_found_in_time(machine: Machine) -> None:
    machine.run("set", "LETTER", at=machine.home, stdin="a" * 100_000)  # close to the size limit of environments
    letters = "import os\nfor _ in range(16): os.write(1, b'a' * %d)"
    for size, shown in ((1 << 16, b"[secret://LETTER]"), (3000, b"a" * 48_000)):
        words = [*exec_words("--only", "LETTER"), sys.executable, "-c", letters % size]
        done = subprocess.run(words, capture_output=True, timeout=DEADLINE, env=machine.environment, check=False)
        assert (done.returncode, done.stdout) == (0, shown)


def test_a_value_in_two_halves_is_never_shown(machine: Machine) -> None:
    for cut in (6, 20, len(TOKEN) // 2, len(TOKEN) - 1):
        script = f'printf %.{cut}s "$TOKEN"; sleep 0.3; printf %s "$TOKEN" | tail -c +{cut + 1}; sleep 0.3'
        done = subprocess.run(
            [*exec_words("--only", "TOKEN"), "sh", "-c", script],
            capture_output=True,
            timeout=DEADLINE,
            env=machine.environment,
            check=True,
        )
        assert done.stdout == b"[secret://TOKEN]"


class Keeping:
    """A filter that holds back all bytes until the input ends or pauses."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, data: bytes) -> bytes:
        self.kept += data
        return b""

    def idle(self) -> bytes:
        kept, self.kept = self.kept, b""
        return kept

    finish = idle


def test_each_stream_is_quiet_by_itself() -> None:
    now = 100.0
    (source, feed), (reader, target) = os.pipe(), os.pipe()
    (busy, busily), (_, away) = os.pipe(), os.pipe()
    quiet = Stream(source, target, Keeping(), lambda: now)
    other = Stream(busy, away, Keeping(), lambda: now)
    assert (quiet.quiet_in(), other.quiet_in()) == (None, None)
    os.write(feed, b"$ ")
    os.write(busily, b".")
    stream_polling.carry([quiet, other])
    assert quiet.quiet_in() == pytest.approx(QUIET_SECONDS)
    now += QUIET_SECONDS * 0.9
    os.write(busily, b".")
    stream_polling.carry([quiet, other])
    assert not quiet.waiting
    now += QUIET_SECONDS * 0.2
    os.write(busily, b".")
    stream_polling.carry([quiet, other])
    assert (quiet.waiting, other.waiting) == (b"$ ", b"")
    stream_polling.carry([quiet, other])
    assert os.read(reader, 99) == b"$ "
    assert quiet.quiet_in() is None


def test_many_megabytes_come_through_as_they_are(machine: Machine) -> None:
    megabytes = rounds(30, 100)
    script = f"import os\nblock = bytes(range(256)) * 4096\nfor _ in range({megabytes}): os.write(1, block)"
    words = [*exec_words("--only", "TOKEN"), sys.executable, "-c", script]
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=machine.environment) as process:
        assert process.stdout is not None
        while block := process.stdout.read(1 << 20):
            digest.update(block)
            size += len(block)
    wanted = hashlib.sha256(bytes(range(256)) * 4096 * megabytes).hexdigest()
    assert (process.returncode, size, digest.hexdigest()) == (0, megabytes << 20, wanted)


def test_a_program_whose_reader_goes_is_told_as_always(machine: Machine) -> None:
    script = f"{shlex.join(exec_words('--only', 'TOKEN'))} yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=DEADLINE, env=machine.environment, check=True
    )
    assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


def test_signals_are_handed_on(machine: Machine) -> None:
    script = "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "usr1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "term\n"
        assert process.wait(DEADLINE) == 9


def test_every_other_signal_that_ends_a_program_is_handed_on(machine: Machine) -> None:
    names = [
        "INT",
        "QUIT",
        "HUP",
        "ALRM",
        "USR2",
        "PROF",
        "XCPU",
        *(["RTMIN", "34", "PWR"] * (sys.platform == "linux")),
    ]
    script = "import os, signal, sys, time\ndef tell(text): os.write(1, f'{text}\\n'.encode())\n"
    script += "for n in sys.argv[1:]: signal.signal(int(n), lambda n, _: tell(n))\n"
    script += "tell('ready')\nwhile True: time.sleep(1)"
    numbers = [int(name) if name.isdigit() else int(getattr(signal, f"SIG{name}")) for name in names]
    words = [*exec_words("--only", "TOKEN"), sys.executable, "-c", script, *map(str, numbers)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=machine.environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            assert process.stdout.readline() == f"{number}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_where_ends_of_children_are_ignored_the_program_ends_as_it_does(machine: Machine) -> None:
    for words in (exec_words("--only", "TOKEN"), [*PROGRAM, "exec", "--only", "TOKEN", "--"]):
        ignoring = "import os, signal as s, sys; s.signal(s.SIGCHLD, s.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        start = [sys.executable, "-c", ignoring, *words, "sh", "-c", "echo said; exit 7"]
        done = subprocess.run(
            start, capture_output=True, text=True, env=machine.environment, timeout=DEADLINE, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (7, "said\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_told(machine: Machine) -> None:
    for program, code in (("echo some", 1), ("echo some; exit 5", 5)):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*exec_words("--only", "TOKEN"), "sh", "-c", program],
                stdout=full, stderr=subprocess.PIPE, text=True, env=machine.environment, timeout=DEADLINE, check=False,
            )  # fmt: skip
        said = "error: The output could not be written: No space left on device.\n"
        assert (done.returncode, done.stderr) == (code, said)


def test_a_stream_that_nobody_reads_holds_up_no_other(machine: Machine) -> None:
    script = "yes | head -c 1000000 & sleep 0.5; echo err >&2; wait"
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=machine.environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "err\n"
        assert len(process.stdout.read()) == 1_000_000
        assert process.wait(DEADLINE) == 0


def test_what_carries_on_for_a_program_that_was_left_behind_can_be_ended(machine: Machine, here: Path) -> None:
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "trap '' TERM; sleep 100 & echo $! >number; exit 6"]
    with subprocess.Popen(words, cwd=here, stdout=subprocess.PIPE, env=machine.environment, process_group=0) as process:
        assert process.stdout is not None
        assert process.wait(DEADLINE) == 6
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == b""
        os.kill(int((here / "number").read_text()), signal.SIGKILL)


def test_a_descriptor_with_a_passphrase_is_not_handed_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "phrase").write_text("five words that nobody guesses\n")
    cs, phrase = shlex.join(PROGRAM), f"7<{tmp_path}/phrase"
    script = (
        f"{cs} init --passphrase --new-passphrase-fd 7 {phrase}; echo v | {cs} set TOKEN --passphrase-fd 7 {phrase}; "
    )
    script += f"{cs} exec --passphrase-fd 7 --only TOKEN -- sh -c 'echo $TOKEN; cat <&7' {phrase}"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, cwd=machine.project("a"), env=machine.environment,
        timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "v"
    assert "7: Bad file descriptor" in done.stderr


def test_what_a_program_leaves_behind_is_redacted_to_its_end(machine: Machine) -> None:
    script = 'echo now; (exec >&1 2>&-; sleep 1; echo "late $TOKEN") & exit 6'
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        assert process.wait(DEADLINE) == 6
        assert process.stdout.read() == "late [secret://TOKEN]\n"


def test_what_a_program_leaves_behind_writing_without_end_is_not_waited_for(machine: Machine) -> None:
    words = [*exec_words("--only", "TOKEN"), "sh", "-c", "yes & exit 6"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=machine.environment) as process:
        assert process.stdout is not None
        ends = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < ends:
            os.read(process.stdout.fileno(), 65536)
        assert process.returncode == 6
        assert process.stdout.read(4) in (b"y\ny\n", b"\ny\ny")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("redact", ["--redact", ""])
def test_standard_streams_may_be_closed(machine: Machine, here: Path, closed: str, redact: str) -> None:
    words = [*PROGRAM, "exec", *redact.split(), "--only", "TOKEN", "--", "sh", "-c", "printenv TOKEN >there"]
    script = ["sh", "-c", f"{shlex.join(words)} {closed}"]
    done = subprocess.run(script, cwd=here, capture_output=True, timeout=DEADLINE, env=machine.environment, check=False)
    assert (done.returncode, (here / "there").read_text()) == (0, f"{TOKEN}\n")


@pytest.fixture(scope="module")
def unstartable(machine: Machine) -> Path:
    """A directory with files that cannot be started as a program."""
    place = machine.home / "unstartable"
    (place / "there" / "directory").mkdir(parents=True)
    for name, text in {
        "bad": b"\x7fELF nonsense",
        "no-first-line": b"echo hi\n",
        "lost": b"#!/no/such/interpreter\n",
        "plain": b"text",
        "there/kept": b"text",
    }.items():
        (place / name).write_bytes(text)
        (place / name).chmod(0o644 if text == b"text" else 0o755)
    (place / "nowhere").symlink_to("gone")
    (place / "round").symlink_to("round")
    return place


IN_A_PROGRAMS_PLACE = {
    "no-such-program": (127, "There is no such program: 'no-such-program'."),
    "./no/such": (127, "There is no such program: './no/such'."),
    "./nowhere": (127, "There is no such program: './nowhere'."),
    "": (127, "There is no such program."),
    "directory": (127, "There is no such program: 'directory'."),
    "x" * 200: (127, f"There is no such program: '{'x' * 100}…'."),
    "./there": (126, "The program './there' cannot be run: Is a directory."),
    "./plain": (126, "The program './plain' cannot be run: Permission denied."),
    "kept": (126, "The program 'kept' cannot be run: Permission denied."),
    "./plain/more": (126, "The program './plain/more' cannot be run: Not a directory."),
    "./round": (126, "The program './round' cannot be run: Too many levels of symbolic links."),
    "./bad": (126, "The program cannot be run: it is neither a program for this machine nor a script whose first line"),
    "./no-first-line": (
        126,
        "The program cannot be run: it is neither a program for this machine nor a script whose first",
    ),
    "./lost": (
        127,
        "The program cannot be run: its interpreter does not exist (the first line of a script names its interpreter).",
    ),
}


@pytest.mark.parametrize("redact", ["--redact", ""])
@pytest.mark.parametrize("word", IN_A_PROGRAMS_PLACE)
def test_what_cannot_be_started_is_told_with_the_code_of_shells(
    machine: Machine, unstartable: Path, word: str, redact: str
) -> None:
    code, says = IN_A_PROGRAMS_PLACE[word]
    path = {"PATH": f"{unstartable / 'there'}:{machine.environment['PATH']}"}
    words = ["exec", *redact.split(), "--only", "TOKEN", "--", word]
    done = machine.run(*words, at=unstartable, environment=path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: [INVALID_ARGUMENTS] {says}")
    assert len(done.stderr.splitlines()) == 1
    if word not in ("directory", "./no-first-line", "./bad"):  # env(1) treats these differently
        env = subprocess.run(
            ["env", word], cwd=unstartable, env={**machine.environment, **path}, capture_output=True, check=False
        )
        assert env.returncode == code


@pytest.mark.parametrize("redact", ["--redact", ""])
def test_an_environment_that_is_too_long_is_told(machine: Machine, redact: str) -> None:
    machine.run("set", "LONG", at=machine.home, stdin="x" * 200_000)
    done = machine.run("exec", *redact.split(), "--only", "LONG", "--", "true")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.endswith("cannot be run: its arguments and its environment are too long.\n")


@pytest.mark.parametrize(
    "words",
    [
        *(["echo $TOKEN"], ["cd", "/tmp", "&&", "ls"], ["A=1", "npm", "start"], ["a|b"], ["a;b"], ["a>b"], ["a&&b"]),
        *(["source", "x"], ["export", "A=1"], ["alias"], ["time", "-p", "x"], ["if", "true"], ["no such"], ["~/x"]),
    ],
)
def test_whoever_writes_for_a_shell_is_told_that_there_is_none(machine: Machine, here: Path, words: list[str]) -> None:
    done = machine.run("exec", "--only", "TOKEN", "--", *words, environment={"PATH": str(here)})
    assert (done.returncode, done.stdout) == (127, "")
    (hint,) = done.stderr.splitlines()[1:]
    assert hint.startswith("hint: exec starts a program without a shell; to use shell syntax: ")
    assert hint.endswith(" exec … -- sh -c '…'")


def test_a_value_in_a_programs_place_is_not_repeated(machine: Machine) -> None:
    for word, shown in {
        TOKEN: "[secret://TOKEN]",
        f"/opt/{TOKEN}/x": "/opt/[secret://TOKEN]/x",
        base64.b64encode(TOKEN.encode()).decode(): "[secret://TOKEN]",
    }.items():
        done = machine.run("exec", "--only", "PLAIN", "--", word)
        assert done.returncode == 127
        assert f" There is no such program: '{shown}'.\n" in done.stderr
        assert TOKEN[:12] not in done.stderr
    stray = "ghp_" + "a1B2" * 9
    assert stray not in machine.run("exec", "--only", "PLAIN", "--", stray).stderr
    locked = machine.run("exec", "--only", "PLAIN", "--", TOKEN, environment={"CLAUDE_SECRETS_KEY_FILE": "/nowhere"})
    assert (locked.returncode, TOKEN[:12] in locked.stderr) == (127, False)


def test_no_value_is_shown_in_any_form_on_either_stream(machine: Machine) -> None:
    script = (
        'printenv TOKEN; printenv TOKEN | base64; printf %s "$TOKEN" | base64 -w 0; printenv TOKEN | od -v -An -tx1 | '
        'tr -d " \\n"; printf "%q\\n" "$SHELL_CODE"; printf %s "$SHELL_CODE" >&2'
    )
    words = [*exec_words("--only", "TOKEN", "--only", "SHELL_CODE"), "bash", "-c", script]
    done = subprocess.run(words, capture_output=True, timeout=DEADLINE, env=machine.environment, check=True)
    assert done.stdout.count(b"[secret://TOKEN]") == 4
    assert b"canary" not in done.stdout
    assert b"touch" not in done.stdout + done.stderr


def test_without_redaction_exec_is_the_program_itself(machine: Machine) -> None:
    script = "import os; print(os.getpid(), os.getppid(), sep='\\n')"
    words = [*PROGRAM, "exec", "--only", "TOKEN", "--", sys.executable, "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=machine.environment) as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert out.split() == [str(process.pid), str(os.getpid())]
