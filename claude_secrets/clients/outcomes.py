"""What a launch found out: the way in which a client starts a server, and what the server did.

Always: no failure repeats the value of an entry's variable.
"""

import errno
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.paths import APPLICATION
from claude_secrets.untrusted_text import plain

_SHOWN_LINES: Final = 5
_SHOWN_WIDTH: Final = 200
_HIDDEN_LENGTH: Final = 6
"""The least length of a variable's value that is taken out of the server's output."""


class Reason(StrEnum):
    """Why a client cannot connect to a server."""

    BAD_ENTRY = "bad entry"
    NO_DIRECTORY = "no directory"
    NOT_FOUND = "command not found"
    NOT_EXECUTABLE = "not executable"
    EXITED = "exited"
    TIMED_OUT = "timed out"
    NOT_MCP = "not MCP"
    OTHER_SERVER = "another server"
    CHECK_FAILED = "the check failed"


class Failure(NamedTuple):
    """Why a launch failed. `message` is one sentence, and `stderr` the last lines that the server wrote there."""

    reason: Reason
    message: str
    stderr: tuple[str, ...] = ()


class Launched(NamedTuple):
    """The result of a launch.

    `seconds` is the time until the tools were listed, or until the launch failed. `tools` is the number of tools.
    """

    seconds: float
    tools: int = 0
    version: str = ""
    failure: Failure | None = None


class Start(NamedTuple):
    """What a client does to start a server. `command` is an absolute path, and `patience` is in seconds."""

    command: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    patience: float
    ending: str
    hidden: tuple[str, ...]

    def __repr__(self) -> str:  # the environment may hold a value
        return f"Start({self.command!r})"


def shown(command: str) -> str:
    """Return a command as it is shown."""
    return plain(command, limit=_SHOWN_WIDTH, mark="?")


def meaning(start: Start, report: Mapping[str, object]) -> Launched:
    """Return the result of a launch. `report` is that of the helper process, and is empty if the process failed."""
    outcome, seconds, tools = report.get("outcome"), report.get("seconds"), report.get("tools")
    took = seconds if isinstance(seconds, float) else 0.0
    names = [each for each in tools if isinstance(each, str)] if isinstance(tools, list) else []
    if outcome == "connected":
        version = plain(str(report.get("version", "")), limit=40)
        if report.get("server") == APPLICATION:  # rules can hide any of its tools
            return Launched(took, len(names), version)
        text = "The server answers, but it is another server."
        return Launched(took, len(names), version, Failure(Reason.OTHER_SERVER, text, _errors(start, report)))
    return Launched(took, failure=_failure(start, report, outcome))


def _failure(start: Start, report: Mapping[str, object], outcome: object) -> Failure:
    errors = _errors(start, report)
    if outcome == "not started":
        return _not_started(start, report.get("errno"))
    if outcome == "exited" and not (report.get("code") == 0 and report.get("wrote_other")):
        return Failure(Reason.EXITED, f"The server ended {_how(report.get('code'))} before it answered.", errors)
    if outcome not in {"timed out", "no answer", "exited"}:
        return Failure(Reason.CHECK_FAILED, "The check itself failed, so nothing is known about the server.")
    if report.get("wrote_other") or outcome != "timed out":
        text = "The command answers with something that is not MCP, so it is no MCP server."
        return Failure(Reason.NOT_MCP, text, errors)
    return Failure(Reason.TIMED_OUT, f"The server did not answer within {start.patience:g} s.", errors)


def _how(code: object) -> str:
    if isinstance(code, int) and code < 0:
        return f"by signal {-code}"
    return f"with exit code {code}"


def _not_started(start: Start, number: object) -> Failure:
    command = shown(start.command)
    if number == errno.ENOENT and sys.platform != "win32":
        text = f"{command} is there, but the program in its first line (after `#!`) is not."
        return Failure(Reason.NOT_EXECUTABLE, text)
    why = os.strerror(number).lower() if isinstance(number, int) else "its name or arguments cannot be passed on"
    return Failure(Reason.NOT_EXECUTABLE, f"{command} cannot be started: {why}.")


def _errors(start: Start, report: Mapping[str, object]) -> tuple[str, ...]:
    """Return the last lines of standard error, cut, and without the values of the entry's variables."""
    lines = report.get("stderr")
    shown = []
    for line in (lines if isinstance(lines, list) else [])[-_SHOWN_LINES:]:
        text = str(line)
        for value in sorted(start.hidden, key=len, reverse=True):
            text = text.replace(value, "…") if len(value) >= _HIDDEN_LENGTH else text
        shown.append(plain(text, limit=_SHOWN_WIDTH))
    return tuple(shown)
