"""Run real programs with `exec` on Windows: exit codes, arguments, batch files and the search for programs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.warm_program import WarmProgram

if os.name != "nt":
    pytest.skip("only Windows can start these programs", allow_module_level=True)
assert sys.platform == "win32"  # for the type checker

DEADLINE = 120.0
TOKEN = "canary-x1Yzx1Yzx1Yz"
BOTH = pytest.mark.parametrize("redact", [[], ["--redact"]], ids=["plain", "redact"])
BATCH = "@echo off\r\necho ran>ran\r\necho [%~1] [%~2] [%~3] [%TOKEN%]\r\nexit /b 5\r\n"


class Home:
    """A person's home with a store, its key in a file, and one secret. `environment` leads to it."""

    def __init__(self, root: Path, program: WarmProgram) -> None:
        self._program = program
        self.work = root / "work"
        self.work.mkdir()
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH", "PATHEXT", "COMSPEC") if name in os.environ}
        self.environment = {**kept, "USERPROFILE": str(root), "LOCALAPPDATA": str(root), "APPDATA": str(root)}
        self.environment["CLAUDE_SECRETS_STORE"] = str(root / "store" / "secrets.db")
        self.say("init", "--key-file", str(root / "keys" / "k"))
        self.say("set", "TOKEN", stdin=TOKEN)

    def say(self, *words: str, stdin: str = "") -> None:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr

    def run(
        self, *words: str, stdin: str = "", environment: Mapping[str, str] = {}
    ) -> "subprocess.CompletedProcess[str]":
        return self._program.run(*words, at=self.work, environment={**self.environment, **environment}, stdin=stdin)

    def exec(
        self, redact: Sequence[str], *words: str, environment: Mapping[str, str] = {}
    ) -> "subprocess.CompletedProcess[str]":
        return self.run("exec", *redact, "--only", "TOKEN", "--", *words, environment=environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with WarmProgram(tmp_path_factory.mktemp("streams")) as program:
        yield Home(tmp_path_factory.mktemp("person"), program)


@pytest.fixture(autouse=True)
def _clean(home: Home) -> None:
    for file in home.work.iterdir():
        if file.is_file():
            file.unlink()


@BOTH
@pytest.mark.parametrize("code", [0, 7, 255, -1073741819])
def test_the_shell_sees_the_programs_own_exit_code(home: Home, redact: list[str], code: int) -> None:
    done = home.exec(redact, sys.executable, "-c", f"import os; os._exit({code})")
    assert (done.returncode % (1 << 32), done.stderr) == (code % (1 << 32), "")


@BOTH
def test_each_word_arrives_as_it_was_given(home: Home, redact: list[str]) -> None:
    words = ["a b", 'c"d', "", "e\\", "f g\\", "%TOKEN%", "x&y", "^", "ü"]
    show = "import sys, os; sys.stdout.buffer.write(ascii([sys.argv[1:], os.environ['TOKEN']]).encode()); os._exit(7)"
    done = home.exec(redact, sys.executable, "-c", show.replace("; os._exit", "; sys.stdout.flush(); os._exit"), *words)
    shown = "[secret://TOKEN]" if redact else TOKEN
    assert (done.returncode, done.stdout, done.stderr) == (7, ascii([words, shown]), "")


@BOTH
def test_a_process_passes_on_its_input_and_ends_after_the_program_with_its_code(home: Home, redact: list[str]) -> None:
    program = "import sys, os; given = sys.stdin.read(); open('ended', 'w').write(given); os._exit(-1073741819)"
    words = ["exec", *redact, "--only", "TOKEN", "--", sys.executable, "-c", program]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "claude_secrets", *words],
        cwd=home.work,
        env=home.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"given")
        process.stdin.close()
        assert process.wait(DEADLINE) % (1 << 32) == -1073741819 % (1 << 32)
        assert (home.work / "ended").read_text() == "given"


@BOTH
@pytest.mark.parametrize("word", [".\\tool", ".\\TOOL.CMD"])
def test_a_batch_file_gets_clean_arguments(home: Home, redact: list[str], word: str) -> None:
    (home.work / "tool.cmd").write_bytes(BATCH.encode())
    done = home.exec(redact, word, "x", "two words", "")
    shown = "[secret://TOKEN]" if redact else TOKEN
    assert (done.returncode, done.stdout) == (5, f"[x] [two words] [] [{shown}]\r\n".replace("\r\n", "\n"))


@BOTH
@pytest.mark.parametrize("word", ["s3cret&whoami", "%TOKEN%", 's3cret"&whoami'])
@pytest.mark.parametrize("name", ["tool", ".\\tool.cmd. "])
def test_a_batch_file_is_not_started_with_what_cmd_would_run(
    home: Home, tmp_path: Path, redact: list[str], word: str, name: str
) -> None:
    for directory in (tmp_path, home.work):
        (directory / "tool.cmd").write_bytes(BATCH.encode())
    done = home.exec(redact, name, word, environment={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: [INVALID_ARGUMENTS] Argument 1 of a batch file")
    assert "s3cret" not in done.stderr
    assert not (home.work / "ran").exists()


@BOTH
def test_a_program_in_the_working_directory_is_not_taken(home: Home, tmp_path: Path, redact: list[str]) -> None:
    (home.work / "tool.cmd").write_bytes(b"@echo planted\r\n")
    done = home.exec(redact, "tool", environment={"PATH": f".;;{tmp_path}"})
    assert (done.returncode, done.stdout) == (127, "")
    assert "only if you name its path" in done.stderr
    (tmp_path / "tool.cmd").write_bytes(b"@echo right\r\n")
    done = home.exec(redact, "tool", environment={"PATH": f".;;{tmp_path}"})
    assert (done.returncode, done.stdout.strip()) == (0, "right")


@BOTH
def test_a_batch_file_is_not_run_by_a_cmd_of_the_working_directory(home: Home, redact: list[str]) -> None:
    (home.work / "tool.cmd").write_bytes(b"@echo right\r\n")
    (home.work / "cmd.exe").write_bytes(Path(sys.executable).read_bytes())
    done = home.exec(redact, ".\\tool", environment={"COMSPEC": str(home.work / "cmd.exe")})
    assert (done.returncode, done.stdout.strip()) == (0, "right")


@BOTH
def test_what_windows_cannot_start_is_reported(home: Home, redact: list[str]) -> None:
    (home.work / "script.py").write_text("print()")
    done = home.exec(redact, ".\\script.py")
    assert (done.returncode, done.stdout) == (126, "")
    assert "start a script with the program that runs it" in done.stderr


@BOTH
def test_a_builtin_of_cmd_is_no_program(home: Home, redact: list[str]) -> None:
    done = home.exec(redact, "dir")
    assert done.returncode == 127
    assert "cmd /c" in done.stderr


def test_a_variable_of_a_file_replaces_one_in_another_case(home: Home) -> None:
    (home.work / ".env").write_text("toKen=secret://TOKEN\n")
    show = "import os; print([(n, v) for n, v in os.environ.items() if n == 'TOKEN'])"
    done = home.run("exec", "--yes", "--", sys.executable, "-c", show, environment={"TOKEN": "old"})
    assert done.stdout.strip() == str([("TOKEN", TOKEN)])


@pytest.mark.parametrize("name", ["PathExt", "ComSpec", "SystemRoot", "__COMPAT_LAYER", "COR_PROFILER", "Public"])
def test_the_loaders_own_variables_are_refused(home: Home, name: str) -> None:
    (home.work / ".env").write_text(f"{name}=given\n")
    done = home.run("exec", "--", sys.executable, "-c", "open('ran', 'w')")
    assert done.returncode == 2
    assert f"[INVALID_NAME] Refusing to set '{name}'" in done.stderr
    assert not (home.work / "ran").exists()


class _Same:
    def feed(self, data: bytes) -> bytes:
        return data

    def idle(self) -> bytes:
        return b""

    finish = idle


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGBREAK])
@BOTH
def test_our_own_ctrl_c_does_not_end_the_wait(tmp_path: Path, redact: list[str], number: int) -> None:
    """A stand-in for the keys, as no console is there: the signal is raised in this process only."""
    from claude_secrets.exec import supervise, windows_child

    began, go = tmp_path / "began", tmp_path / "go"
    program = (
        f"import os, time\nopen({str(began)!r}, 'w')\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\nos._exit(9)"
    )

    def press() -> None:
        ends = time.monotonic() + DEADLINE
        while not began.exists() and time.monotonic() < ends:
            time.sleep(0.02)
        signal.raise_signal(number)
        go.write_text("")

    pressing = threading.Thread(target=press)
    pressing.start()
    words, environment = [sys.executable, "-c", program], dict(os.environ)
    if redact:
        code = supervise.run(sys.executable, words, environment, _Same, lambda _error: None, sealed=True)
    else:
        code = windows_child.run(sys.executable, words[1:], environment)
    pressing.join(DEADLINE)
    assert code == 9
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_batch_file_is_refused_even_without_the_earlier_check(tmp_path: Path) -> None:
    from claude_secrets.errors import CallerError
    from claude_secrets.exec import windows_child

    (tmp_path / "tool.cmd").write_bytes(BATCH.encode())
    with pytest.raises(CallerError):
        windows_child.run(str(tmp_path / "tool.cmd"), ["a&b"], dict(os.environ))
