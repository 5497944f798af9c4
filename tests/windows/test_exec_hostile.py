"""Attack `exec` on Windows: planted programs, readers that end, failing filters, prompts and code pages.

This file uses no fixtures of other test files. It starts few processes, because a start takes seconds.
"""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claude_secrets.cli.commands import exec as command
from claude_secrets.cli.variables import Choice, Source
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.redactor import Redactor

if os.name != "nt":
    pytest.skip("only Windows can start these programs", allow_module_level=True)
assert sys.platform == "win32"  # for the type checker

DEADLINE = 120.0
VALUE = "canary-x1Yz\u00e4\u00f6x1Yz\u20ac"
IS_WINE = hasattr(ctypes.windll.ntdll, "wine_get_version")
BATCH = b"@echo off\r\necho [%~1] [%~2] [%~3]\r\necho {%NoDefaultCurrentDirectoryInExePath%}\r\nnode\r\n"
HARNESS = """
import sys
from claude_secrets.exec import supervise

class Holding:
    feed = staticmethod(lambda data: b"" if data == b"$ " else data)
    idle = staticmethod(lambda: b"$ ")
    finish = staticmethod(lambda: b"")

def tell(error):
    print("told", error, file=sys.stderr)

words = [sys.executable, "-c", sys.argv[1]]
sys.exit(supervise.run(sys.executable, words, __import__("os").environ, Holding, tell, sealed=True))
"""


def start(program: list[str], environment: dict[str, str], *, redact: bool) -> int:
    source = Source(lambda _names, _accept: {"TOKEN": VALUE}, lambda: None)
    return command.start(program, Choice([], ["TOKEN"], dangerous_too=False), source, environment, redact=redact)


@contextmanager
def harness(program: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Python program with a filter that holds a prompt back. It is killed at the deadline."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-P", "-c", HARNESS, program]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def test_a_program_of_path_gets_whole_words_and_starts_no_planted_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clone, npm, nodejs = (tmp_path / name for name in ("clone", "npm", "nodejs"))
    for directory in (clone, npm, nodejs):
        directory.mkdir()
    (npm / "tool.cmd").write_bytes(BATCH)
    (nodejs / "node.cmd").write_bytes(b"@echo right\r\n")
    (clone / "node.cmd").write_bytes(b"@echo planted\r\n")
    monkeypatch.chdir(clone)
    environment = {**os.environ, "PATH": f"{npm};{nodejs}"}
    assert start(["tool", "a=b,c;d", ")else,x"], environment, redact=False) == 0
    told = capfd.readouterr().out.splitlines()
    assert told[:2] == ["[a=b,c;d] [)else,x] []", "{1}"]
    if not IS_WINE:  # Wine's cmd.exe does not know the variable
        assert told[2:] == ["right"]


def test_a_program_whose_reader_is_gone_ends_without_a_message() -> None:
    write = "for _ in range(100_000): os.write(1, bytes(1000))"
    program = f"import os\ntry:\n    {write}\nexcept OSError: os._exit(5)\nos._exit(6)"
    with harness(program) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE) == 5


def test_a_prompt_that_a_filter_holds_back_is_shown_after_a_moment() -> None:
    with harness("import os; os.write(1, b'$ '); os.write(1, b'given ' + os.read(0, 9)); os._exit(7)") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(2) == b"$ "
        process.stdin.write(b"it")
        process.stdin.close()
        assert process.stdout.read() == b"given it"
        assert process.wait(DEADLINE) == 7


def test_a_filter_that_fails_does_not_leave_the_program_waiting_for_a_reader() -> None:
    from claude_secrets.exec import windows_child

    class Failing:
        def feed(self, data: bytes) -> bytes:
            raise ZeroDivisionError

        def idle(self) -> bytes:
            return b""

        finish = idle

    program = "import os\nfor _ in range(100_000): os.write(1, bytes(1000))"
    with pytest.raises(ZeroDivisionError):
        windows_child.run_filtered(sys.executable, ["-c", program], os.environ, Failing, lambda _error: None)


@pytest.mark.parametrize("page", ["mbcs", "oem", "utf-8", "utf-16-le"])
@pytest.mark.parametrize("cut", [1, 12, 16])
def test_a_value_in_a_code_page_of_the_system_is_redacted(page: str, cut: int) -> None:
    redactor = Redactor(Finder({"TOKEN": VALUE}))
    printed = f"<{VALUE}>".encode(page, "replace")
    shown = redactor.feed(printed[:cut]) + redactor.feed(printed[cut:]) + redactor.finish()
    assert shown.replace(b"\0", b"") == b"<[secret://TOKEN]>"


def test_an_argument_with_half_of_a_utf_16_pair_gets_a_message(capfd: pytest.CaptureFixture[str]) -> None:
    assert start(["no-such-program\ud800"], dict(os.environ), redact=True) == 127
    assert "There is no such program" in capfd.readouterr().err
