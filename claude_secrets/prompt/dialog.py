"""Shows the person a dialog on the desktop: a yes-or-no question, or a field for a hidden value.

Always: the dialog program returns a value only through a pipe. A finished dialog leaves no window and no process. The
program comes from the system's directories, independent of PATH. The program does not get our standard streams, because
standard output carries the protocol.
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
"""Seconds between two checks whether the dialog has been answered."""

_GRACE = 1.0
"""Seconds to wait for an ended program's output, in case another process keeps the output open."""


class _Ended(NamedTuple):
    code: int
    output: bytes  # may contain a value

    def __repr__(self) -> str:
        return f"_Ended({self.code})"


if sys.platform == "win32":

    def powershell() -> str:
        """Return the path of Windows' own PowerShell. The system, not the environment, provides the path."""
        place = ctypes.create_unicode_buffer(260)
        ctypes.windll.kernel32.GetSystemDirectoryW(place, len(place))
        return str(Path(place.value) / "WindowsPowerShell" / "v1.0" / "powershell.exe")

else:

    def powershell() -> str:
        """Return an empty path, because only Windows has its own PowerShell."""
        return ""


class Dialogs(NamedTuple):
    """The desktop dialogs of this machine.

    `platform` is `sys.platform`. No program is run and no file is read from the `forbidden` directories (a project's
    directory and its work tree). Programs are looked up in `places`, by default the system's directories. In the
    methods, `seconds` limits how long the person has to answer. Setting the event `cancelled` closes the dialog at
    once.
    """

    environment: Mapping[str, str]
    forbidden: Sequence[Path]
    platform: str
    places: Places | None = None

    def __repr__(self) -> str:
        return f"Dialogs({self.platform!r})"

    def available(self) -> bool:
        """Return whether a dialog program was found. On Linux, DISPLAY or WAYLAND_DISPLAY must also be set."""
        return self._program() is not None

    def confirm(self, title: str, text: str, *, seconds: float, cancelled: threading.Event) -> DialogAnswer:
        """Ask the question `text`. Pressing Enter, pressing Escape or closing the window means No."""
        shown = self._show(_asked(title, text, hidden=False), seconds, cancelled)
        if shown is None:
            return DialogAnswer.NONE
        family, ended = shown
        return family.answers.get((ended.code, ended.output), DialogAnswer.NONE)

    def read_hidden(self, title: str, text: str, *, seconds: float, cancelled: threading.Event) -> str | None:
        """Ask for a value, which the dialog does not show. Return the value, or None if there is no valid value.

        None means that the person cancelled or did not answer in time. It also means that the dialog failed, or that
        the input is empty or is not UTF-8.
        """
        shown = self._show(_asked(title, text, hidden=True), seconds, cancelled)
        if shown is None:
            return None
        family, ended = shown
        # If the newline is missing, the program did not finish its output.
        if ended.code != family.entered or not ended.output.endswith(b"\n"):
            return None
        try:
            return ended.output[:-1].decode("utf-8") or None
        except UnicodeDecodeError:
            return None  # do not raise: the exception contains the input

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
        # With this variable GLib writes messages to standard output, before the value.
        environment.pop("G_MESSAGES_DEBUG", None)
        return environment


def _asked(title: str, text: str, *, hidden: bool) -> Asked:
    return Asked(hidden=hidden, title=_sendable(title), text=_sendable(text))


def _sendable(text: str) -> str:
    # An argument cannot contain NUL or a lone surrogate.
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _run(
    command: Sequence[str],
    given: bytes,
    environment: Mapping[str, str],
    *,
    seconds: float,
    cancelled: threading.Event,
) -> _Ended | None:
    """Run a dialog until it ends. Return None if the dialog cannot be started, takes too long or is cancelled."""
    deadline = time.monotonic() + seconds
    if cancelled.is_set() or seconds <= 0:
        return None
    try:
        process = subprocess.Popen(  # noqa: S603 - a program of the system; the question is data for it
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
        # The program may end before it has read everything. Closing the pipe can fail, too, because it writes.
        with suppress(OSError), process.stdin:
            process.stdin.write(given)
    if process.stdout is not None:
        with process.stdout:
            output.append(process.stdout.read())


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process has ended.

    On Linux the process is not reaped, so that its process group's number cannot be reused for another group.
    """
    if sys.platform == "linux":
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True
    else:
        return process.poll() is not None  # on macOS only recent Pythons have waitid


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all processes in its process group, then reap the program."""
    if sys.platform == "win32":
        process.kill()
    else:
        # The group has ended or (on macOS) contains only a zombie.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
