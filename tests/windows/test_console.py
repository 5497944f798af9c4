"""Asking at a Windows console, with Windows' own `msvcrt`. A stand-in replaces the four functions that need a console.

The tests cannot type on a real console.
"""

import subprocess
import sys

import pytest

from claude_secrets.cli import asking, presence
from claude_secrets.errors import CallerError, Code, InputError
from claude_secrets.prompt import terminal
from tests.support.console_stand_in import UP, ConsoleStandIn

msvcrt = pytest.importorskip("msvcrt", reason="these are consoles of Windows")

FUNCTIONS = ("getwch", "kbhit", "ungetwch", "putwch")
ASKS = """
import sys
from claude_secrets.cli import asking, presence
from claude_secrets.errors import InputError
from claude_secrets.prompt import terminal
code = "none"
try:
    terminal.read_hidden("Value: ")
except InputError as error:
    code = error.code
print(sys.stdin.isatty(), terminal.is_there(), presence._in_foreground(), asking.is_at_terminal(), code)
"""


def type_on(console: ConsoleStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FUNCTIONS:
        monkeypatch.setattr(msvcrt, name, getattr(console, name))
    monkeypatch.setattr("claude_secrets.prompt.terminal_windows.is_there", lambda: True)


def test_a_pasted_key_of_three_lines_is_refused_and_the_rest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    console = ConsoleStandIn([*"-----BEGIN KEY-----\rcanary\r-----END KEY-----\r"])
    type_on(console, monkeypatch)
    with pytest.raises(CallerError, match="More than one line") as refused:
        terminal.read_hidden("Value: ")
    assert refused.value.code is Code.INVALID_VALUE
    assert (console.left_over(), "canary" in console.shown + str(refused.value)) == ("", False)


@pytest.mark.parametrize("value", ["🔑", "schlüssel 🔑", "voilàH"])
def test_what_is_typed_arrives_exactly(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_on(ConsoleStandIn([*value, UP, "\r"], before=[*"early\r"]), monkeypatch)
    assert asking.passphrase("Passphrase 🔑", None) == value


def test_what_was_typed_before_the_question_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    type_on(ConsoleStandIn([*"n\r"], before=[*"y\r"]), monkeypatch)
    assert not terminal.confirm("Trust it?")


def test_the_c_library_holds_one_unit_and_refuses_a_second() -> None:
    msvcrt.ungetwch("x")
    with pytest.raises(OSError):  # noqa: PT011  the program, too, catches every OSError here
        msvcrt.ungetwch("y")
    assert (msvcrt.getwch(), msvcrt.kbhit()) == ("x", False)


@pytest.mark.parametrize(
    ("stdin", "is_a_device"), [(subprocess.DEVNULL, True), (subprocess.PIPE, False)], ids=["NUL", "a pipe"]
)
def test_the_device_nul_and_a_pipe_are_no_console(stdin: int, is_a_device: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKS], stdin=stdin, stdout=subprocess.PIPE, encoding="utf-8", timeout=120, check=True
    )
    assert done.stdout.split() == [str(is_a_device), "False", "False", "False", Code.NO_INPUT_CHANNEL]


def test_without_standard_input_there_is_no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert (terminal.is_there(), presence._in_foreground(), asking.is_at_terminal()) == (False, False, False)
    with pytest.raises(InputError):
        terminal.confirm("Trust it?")
