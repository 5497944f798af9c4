"""Asking at a real terminal (a pseudo-terminal): hidden input is not shown, and no input is cut or split unnoticed."""

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Self

import pytest

from tests.support.posix import skip_without

if sys.platform != "win32":
    import termios
    import tty

skip_without("POSIX terminals")
assert sys.platform != "win32"

DEADLINE = 20.0
PROMPT = "Value of GITEA_TOKEN: "
QUESTION = "Trust it?"

PROGRAM = """
import fcntl, json, signal, sys, termios
from claude_secrets.errors import Cancelled, SecretsError
from claude_secrets.prompt import terminal
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are started with it ignored
if len(sys.argv) > 3:
    fcntl.ioctl(int(sys.argv[3]), termios.TIOCSCTTY, 0)
try:
    told = {"result": getattr(terminal, sys.argv[1])(sys.argv[2])}
except Cancelled:
    told = {"cancelled": True}
except SecretsError as error:
    told = {"code": error.code, "message": error.message, "hint": error.hint, "type": type(error).__name__}
json.dump(told, sys.stdout)
"""


class Terminal:
    """A person at a terminal. A process in its own session asks there; its standard streams are not the terminal."""

    def __init__(self, function: str, text: str, *, typed_before: bytes = b"", raw: bool = False) -> None:
        self._person, self._line = os.openpty()
        if raw:
            tty.setraw(self._line)
        self.before = termios.tcgetattr(self._line)
        self.shown = b""
        os.write(self._person, typed_before)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, function, text, str(self._line)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[self._line],
            start_new_session=True,
        )
        self.see(text.split(" ", maxsplit=1)[0].encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        os.close(self._person)
        os.close(self._line)

    def see(self, text: bytes) -> None:
        """Wait until `text` is on the screen."""
        end = time.monotonic() + DEADLINE
        while text not in self.shown:
            assert time.monotonic() < end, f"only this was shown: {self.shown!r}"
            if select.select([self._person], [], [], 0.1)[0]:
                self.shown += os.read(self._person, 65536)

    def type(self, keys: bytes) -> None:
        """Type the text in parts, each small enough for the terminal."""
        while keys:
            written = os.write(self._person, keys[:1024])
            keys = keys[written:]

    def left_over(self) -> bytes:
        """Return the typed text that was not read: a shell would read it next."""
        tty.setraw(self._line, termios.TCSANOW)
        os.set_blocking(self._line, False)
        with suppress(BlockingIOError):
            return os.read(self._line, 65536)
        return b""

    def told(self) -> dict[str, Any]:
        """Return the result, once the process has ended; check that the terminal's settings are restored."""
        out, err = self._process.communicate(timeout=DEADLINE)
        assert err == b""
        assert termios.tcgetattr(self._line) == self.before
        told: dict[str, Any] = json.loads(out)
        return told


@pytest.mark.parametrize(
    "value", ["s3cret", " with spaces ", "schlüssel 🔑", "x" * 4094], ids=["ascii", "spaces", "utf-8", "long"]
)
def test_what_is_typed_arrives_exactly_and_is_not_shown(value: str) -> None:
    with Terminal("read_hidden", PROMPT) as person:
        person.type(value.encode() + b"\r")
        person.see(b"\r\n")
        assert person.told() == {"result": value}
        assert person.shown == f"{PROMPT}\r\n".encode()


def test_keys_for_editing_work() -> None:
    with Terminal("read_hidden", PROMPT) as person:
        person.type(b"wrong\x15rihgt\x7f\x7f\x7fght\r")
        assert person.told() == {"result": "right"}


def test_an_empty_line_is_no_value() -> None:
    with Terminal("read_hidden", PROMPT) as person:
        person.type(b"\r")
        told = person.told()
        assert (told["type"], told["code"], "empty" in told["message"]) == ("InputError", "CANCELLED", True)


@pytest.mark.parametrize("keys", [b"\x03", b"\x04", b"half\x03", b"half\x04"])
@pytest.mark.parametrize(("function", "text"), [("confirm", QUESTION), ("read_hidden", PROMPT)])
def test_breaking_off_is_no_answer(function: str, text: str, keys: bytes) -> None:
    with Terminal(function, text) as person:
        person.type(keys)
        assert person.told() == {"cancelled": True}
        person.see(b"\r\n")
        assert b"half" not in person.shown or function == "confirm"


PASTES = {
    "a key": b"-----BEGIN KEY-----\rcanary\r-----END KEY-----\r",
    "a last line without an end": b"y\rcanary",
    "an answer to the next question": b"y\ry\r",
    "an empty line": b"y\r\r",
    "more than a terminal holds": b"y\r" + b"canary rm -r everything\r" * 9000,
}


@pytest.mark.parametrize("paste", PASTES)
@pytest.mark.parametrize(("function", "text"), [("confirm", QUESTION), ("read_hidden", PROMPT)])
def test_several_pasted_lines_are_refused_and_do_not_reach_the_shell(function: str, text: str, paste: str) -> None:
    with Terminal(function, text) as person:
        person.type(PASTES[paste])
        told = person.told()
        assert (told["code"], "More than one line" in told["message"]) == ("INVALID_VALUE", True)
        assert person.left_over() == b""
        assert function == "confirm" or b"canary" not in person.shown + json.dumps(told).encode()


def test_a_terminal_that_a_program_left_raw_asks_all_the_same() -> None:
    with Terminal("read_hidden", PROMPT, raw=True) as person:
        person.type(b"wrong\x15right\r")
        assert person.told() == {"result": "right"}
    with Terminal("confirm", QUESTION, raw=True) as person:
        person.type(b"\x03")
        assert person.told() == {"cancelled": True}


def test_a_line_that_the_terminal_cuts_is_refused() -> None:
    with Terminal("read_hidden", PROMPT) as person:
        person.type(b"x" * 6000 + b"\r")
        told = person.told()
        assert (told["code"], "at most 4095 bytes" in told["message"]) == ("INVALID_VALUE", True)


def test_bytes_that_are_not_utf8_are_refused_and_not_repeated() -> None:
    with Terminal("read_hidden", PROMPT) as person:
        person.type(b"canary\xff\r")
        told = person.told()
        assert (told["type"], told["code"]) == ("CallerError", "INVALID_VALUE")
        assert "canary" not in json.dumps(told)


@pytest.mark.parametrize(
    ("keys", "answer"),
    [(b"y\r", True), (b"Yes\r", True), (b" y \r", True), (b"n\r", False), (b"\r", False),
     (b"yes!\r", False), (b"ja\r", False), (b"yy\r", False)],
)  # fmt: skip
def test_only_a_clear_yes_is_a_yes(keys: bytes, answer: bool) -> None:
    with Terminal("confirm", QUESTION) as person:
        person.see(b"[y/N] ")
        person.type(keys)
        assert person.told() == {"result": answer}


@pytest.mark.parametrize(("function", "text"), [("confirm", QUESTION), ("read_hidden", PROMPT)])
def test_what_was_typed_before_the_question_is_no_answer(function: str, text: str) -> None:
    with Terminal(function, text, typed_before=b"y\r") as person:
        person.type(b"n\r")
        assert person.told() == {"result": False if function == "confirm" else "n"}


def test_a_question_cannot_move_the_cursor_or_hide_a_part_of_itself() -> None:
    with Terminal("confirm", "Trust \x1b[2K\x1b]0;x\x07/srv/\u202eapi\r\n?") as person:
        person.see(b"[y/N] ")
        assert person.shown == b"Trust [2K]0;x/srv/api ? [y/N] "


@pytest.mark.parametrize(("function", "text"), [("confirm", QUESTION), ("read_hidden", PROMPT)])
def test_without_a_terminal_nobody_is_asked(function: str, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, function, text],
        input=b"y\n",
        capture_output=True,
        start_new_session=True,
        timeout=DEADLINE,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["type"], told["code"], done.stderr) == ("InputError", "NO_INPUT_CHANNEL", b"")


def test_a_terminal_that_goes_away_is_none() -> None:
    with Terminal("read_hidden", PROMPT) as person:
        os.close(person._line)
        os.close(person._person)
        person._person, person._line = os.openpty()
        out, _ = person._process.communicate(timeout=DEADLINE)
    # A hang-up ends the process, or is reported as an error.
    assert person._process.returncode < 0 or json.loads(out)["code"] in {"NO_INPUT_CHANNEL", "CANCELLED"}
