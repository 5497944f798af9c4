"""Whether an agent runs this process, and where that agent itself works.

Always: an agent's clients mark the environment of what they run; the mark counts in this process and in every process
above it, so that a program in between cannot take it away. The agent is what started the topmost marked process.
The faces import it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARKERS: Final = (
    "CLAUDECODE",
    "GEMINI_CLI",
    "CURSOR_AGENT",
    "CODEX_SANDBOX",
    "CODEX_THREAD_ID",
    "CLAUDE_SECRETS_AGENT",
)
"""Variables that clients set in the environment of what their agents run (and nowhere else)."""

_MARKER_PREFIX: Final = "CODEX_SANDBOX_"
_DEPTH: Final = 128


@dataclass(frozen=True, slots=True)
class Process:
    """A process: the environment it was started with (empty where that cannot be seen), and its directory now."""

    environment: Mapping[str, str]
    directory: Path | None


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that runs this process: by which variable it is known, and its own process, where that can be seen."""

    marker: str
    process: Process | None


def find(environment: Mapping[str, str]) -> Agent | None:
    """The agent that runs this process, whose own environment is `environment`; None: a person does."""
    found, agent = marker_in(environment), None
    for process in _ancestors():
        if found and agent is None:
            agent = process
        if (marker := marker_in(process.environment)) is not None:
            found, agent = marker, None
    return None if found is None else Agent(found, agent)


def marker_in(environment: Mapping[str, str]) -> str | None:
    """The first variable by which an environment shows that an agent runs what has it."""
    for name in environment:
        if (name in MARKERS or name.startswith(_MARKER_PREFIX)) and environment[name]:
            return name
    return None


def _ancestors() -> Iterator[Process]:
    """The processes above this one, the nearest first."""
    return _by_proc(os.getppid()) if sys.platform == "linux" else _by_psutil()


def _by_proc(number: int) -> Iterator[Process]:
    """Linux: what proc(5) tells, without the cost of a library at every command."""
    for _ in range(_DEPTH):
        above = Path("/proc", str(number))
        try:
            # The name of the program, in parentheses, may hold anything.
            parent = int((above / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        yield _seen(above)
        number = parent


def _seen(above: Path) -> Process:
    try:
        words = (above / "environ").read_bytes().split(b"\0")
        pairs = (os.fsdecode(word).partition("=") for word in words if b"=" in word)
        return Process({name: value for name, _, value in pairs}, (above / "cwd").readlink())
    except OSError:  # another user's, as the one that logs people in
        return Process({}, None)


def _by_psutil() -> Iterator[Process]:
    """Other systems."""
    import psutil

    for process in psutil.Process().parents():
        try:
            yield Process(process.environ(), Path(process.cwd()))
        except psutil.Error:
            yield Process({}, None)
