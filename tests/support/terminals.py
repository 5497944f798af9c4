"""A person at a terminal, with an interactive bash or with one program."""

import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import MissingModule

if sys.platform == "win32":
    fcntl = pty = termios = MissingModule("POSIX terminals")
else:
    import fcntl
    import pty
    import termios

PROMPT = "ready> "


class Screen:
    """A terminal's screen and keyboard: `see` waits for output, `type` types."""

    def __init__(self, terminal: int) -> None:
        self.shown = ""
        self._terminal = terminal

    def settings(self) -> list[object]:
        """Return the terminal's settings, as `stty` would show them."""
        settings: list[object] = termios.tcgetattr(self._terminal)
        return settings

    def type(self, text: str) -> None:
        """Type text; Enter is a newline, and ^C and ^Z are their control characters."""
        os.write(self._terminal, text.encode())

    def see(self, pattern: str) -> str:
        """Wait until `pattern` is shown, and return the output since the last call up to its end."""
        ends = time.monotonic() + DEADLINE
        while (found := re.search(pattern, self.shown)) is None:
            left = ends - time.monotonic()
            assert left > 0, f"{pattern!r} was not shown, but {self.shown!r}"
            if select.select([self._terminal], [], [], left)[0]:
                try:
                    self.shown += os.read(self._terminal, 65536).decode(errors="replace").replace("\r", "")
                except OSError:
                    raise AssertionError(f"the terminal ended at {self.shown!r}") from None
        seen, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return seen


class Running(Screen):
    """A program on a terminal without a shell, which would restore the terminal's settings afterwards."""

    def __init__(self, words: Sequence[str], at: Path, environment: Mapping[str, str], *, columns: int = 400) -> None:
        ours, self._its = pty.openpty()
        super().__init__(ours)
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = self.settings()
        self.process = subprocess.Popen(
            words,
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
            cwd=at,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  it takes no lock
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)
        os.close(self._its)

    def ended(self) -> int:
        """Wait for the end and return the exit code (-N for signal N); `shown` then has the output not yet seen."""
        code = self.process.wait(DEADLINE)
        while select.select([self._terminal], [], [], 0)[0]:
            self.shown += os.read(self._terminal, 65536).decode(errors="replace").replace("\r", "")
        return code

    def left_over(self) -> bytes:
        """Return the typed input that was not read; a shell would read it next."""
        settings = termios.tcgetattr(self._its)
        settings[3] &= ~termios.ICANON
        settings[6][termios.VMIN] = 0
        termios.tcsetattr(self._its, termios.TCSANOW, settings)
        return os.read(self._its, 65536)


class Bash(Screen):
    """`bash -i` with job control."""

    def __init__(
        self,
        at: Path,
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (31, 97),
        words: Sequence[str] = ("bash", "--norc", "--noprofile", "-i"),
    ) -> None:
        self._at = at
        number, terminal = pty.fork()
        if not number:
            os.chdir(at)
            os.execvpe(words[0], [*words], {**environment, "PS1": PROMPT, "TERM": "dumb", "HISTFILE": ""})
        super().__init__(terminal)
        self._process = number
        self.resize(size)
        self.see(re.escape(PROMPT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._terminal)
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.Signals["SIGKILL"])
        os.waitpid(self._process, 0)

    def resize(self, size: tuple[int, int]) -> None:
        """Set the window's rows and columns."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def run_elsewhere(self, line: str) -> None:
        """Run a command in the same directory, but not on this terminal."""
        subprocess.run(["sh", "-c", line], cwd=self._at, check=True, timeout=DEADLINE)

    def run(self, line: str) -> str:
        """Type a command, and return its output before the next prompt."""
        self.type(f"{line}\n")
        self.see(re.escape(line[-20:]) + r"\n")
        return self.see(re.escape(PROMPT)).removesuffix(PROMPT)


def on_a_terminal(
    machine: Machine,
    arguments: list[str],
    at: Path,
    answers: list[tuple[str, str]],
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[int, str]:
    """Run a command on a real terminal, type each answer when its question is shown, and return exit code and screen.

    `meanwhile` is called while each question is shown, before the answer is typed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(at)
        os.execve(PROGRAM[0], [*PROGRAM, *arguments], machine.environment)
    screen = ""
    try:
        for question, answer in answers:
            while question not in screen:
                screen += os.read(terminal, 4096).decode()
            meanwhile()
            os.write(terminal, answer.encode())
        while True:
            screen += os.read(terminal, 4096).decode()
    except OSError:  # Linux raises it once the other side is closed
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen
