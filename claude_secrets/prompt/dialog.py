"""Asks the person by a dialog of their desktop: a question with yes or no, a value without showing it.

Always: a value comes back through a pipe alone; a dialog that is over leaves neither window nor process; the program is
one of the system's, whatever the PATH is; the child never touches our standard streams (output is the wire).
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from claude_secrets import programs
from claude_secrets.programs import Places
from claude_secrets.prompt.dialog_programs import KDIALOG, OSASCRIPT, POWERSHELL, ZENITY, Asked, DialogAnswer, Family

__all__ = ["DialogAnswer", "Dialogs"]

OSASCRIPT_PATH = "/usr/bin/osascript"

_POLL = 0.05
"""Seconds between two looks at whether the dialog has been answered."""

_GRACE = 1.0
"""Seconds for reading what an ended program has written, should a stranger to it hold its output open."""


class _Ended(NamedTuple):
    code: int
    output: bytes  # it may hold a value

    def __repr__(self) -> str:
        return f"_Ended({self.code})"


if sys.platform == "win32":

    def powershell() -> str:
        """The path of Windows' own PowerShell, from the system and not from the environment."""
        place = ctypes.create_unicode_buffer(260)
        ctypes.windll.kernel32.GetSystemDirectoryW(place, len(place))
        return str(Path(place.value) / "WindowsPowerShell" / "v1.0" / "powershell.exe")

else:

    def powershell() -> str:
        """No path: there is none outside Windows."""
        return ""


class Dialogs(NamedTuple):
    """The dialogs that can be shown from here.

    `forbidden` are directories (a project's, its work tree's) from which nothing is run or read; `platform` is
    `sys.platform`; `places` are where programs come from, the system's own where none are given. The time a person has
    is in seconds; a set `cancelled` ends a dialog at once.
    """

    environment: Mapping[str, str]
    forbidden: Sequence[Path]
    platform: str
    places: Places | None = None

    def __repr__(self) -> str:
        return f"Dialogs({self.platform!r})"

    def available(self) -> bool:
        """Whether there are a dialog program and, on Linux, a display, by DISPLAY or WAYLAND_DISPLAY."""
        return self._program() is not None

    def confirm(self, title: str, text: str, *, seconds: float, cancelled: threading.Event) -> DialogAnswer:
        """Put the question `text`, with No as what Enter, Escape and closing the window choose."""
        shown = self._show(_asked(title, text, hidden=False), seconds, cancelled)
        if shown is None:
            return DialogAnswer.NONE
        family, ended = shown
        return family.answers.get((ended.code, ended.output), DialogAnswer.NONE)

    def read_hidden(self, title: str, text: str, *, seconds: float, cancelled: threading.Event) -> str | None:
        """Return what was entered without being shown; None if that is nothing, for whatever reason.

        What is not UTF-8 is nothing, too.
        """
        shown = self._show(_asked(title, text, hidden=True), seconds, cancelled)
        if shown is None:
            return None
        family, ended = shown
        # Without the newline the program did not come to its end.
        if ended.code != family.entered or not ended.output.endswith(b"\n"):
            return None
        try:
            return ended.output[:-1].decode("utf-8") or None
        except UnicodeDecodeError:
            return None  # and not the exception, which carries what was entered

    def _show(self, asked: Asked, seconds: float, cancelled: threading.Event) -> tuple[Family, _Ended] | None:
        program = self._program()
        if program is None:
            return None
        family, path = program
        ended = _run(
            [path, *family.words(asked)],
            family.given(asked),
            {**self._environment(), **family.environment},
            seconds=seconds,
            cancelled=cancelled,
        )
        return None if ended is None else (family, ended)

    def _program(self) -> tuple[Family, str] | None:
        if self.platform == "darwin":
            return (OSASCRIPT, OSASCRIPT_PATH) if os.access(OSASCRIPT_PATH, os.X_OK) else None
        if self.platform == "win32":
            path = powershell()
            return (POWERSHELL, path) if path and Path(path).is_file() else None
        environment = self._environment()
        if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
            return None
        for name, family in (("zenity", ZENITY), ("kdialog", KDIALOG)):
            program = (self.places or programs.SYSTEM).find(name, self.forbidden)
            if program is not None:
                return family, program
        return None

    def _environment(self) -> dict[str, str]:
        if self.platform == "win32":
            return programs.clean(self.environment, self.forbidden)
        environment = programs.clean_for(self.places or programs.SYSTEM, self.environment, self.forbidden)
        # GLib writes the messages that it asks for to standard output, before the value.
        environment.pop("G_MESSAGES_DEBUG", None)
        return environment


def _asked(title: str, text: str, *, hidden: bool) -> Asked:
    return Asked(hidden=hidden, title=_sendable(title), text=_sendable(text))


def _sendable(text: str) -> str:
    # What no argument can hold: NUL, and half a surrogate pair.
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _run(
    command: Sequence[str],
    given: bytes,
    environment: Mapping[str, str],
    *,
    seconds: float,
    cancelled: threading.Event,
) -> _Ended | None:
    """Run a dialog to its end; None if it cannot be started, is not over in time, or was cancelled."""
    deadline = time.monotonic() + seconds
    if cancelled.is_set() or seconds <= 0:
        return None
    try:
        process = subprocess.Popen(  # noqa: S603 - a program found as said above, what is asked is data for it
            command,
            env=dict(environment),
            cwd="/",  # not the project, which is our own working directory
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        return None
    output: list[bytes] = []
    exchange = threading.Thread(
        target=_exchange, args=(process, given, output), name="claude-secrets dialog", daemon=True
    )
    try:
        exchange.start()
        over = False
        while not over and time.monotonic() < deadline and not cancelled.wait(_POLL):
            over = _ended(process)
    finally:
        _kill(process)
    exchange.join(_GRACE)
    if not over or cancelled.is_set() or not output:
        return None
    return _Ended(process.returncode, output[0])


def _exchange(process: subprocess.Popen[bytes], given: bytes, output: list[bytes]) -> None:
    if process.stdin is not None:
        # It may end before it has read all; closing writes, too.
        with suppress(OSError), process.stdin:
            process.stdin.write(given)
    if process.stdout is not None:
        with process.stdout:
            output.append(process.stdout.read())


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. It is not collected: until then the number of its group cannot become another's."""
    if sys.platform == "linux":
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True
    else:
        return process.poll() is not None  # macOS' Python has waitid only of late


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started in its session's group, and collect it."""
    if sys.platform == "win32":
        process.kill()
    else:
        # Gone, or (macOS) only a zombie.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
