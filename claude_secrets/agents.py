"""Whether an agent runs this process, and where that agent itself works.

Always: an agent's clients mark the environment of what they run; the mark counts in this process and in every process
above it, so that a program in between cannot take it away. The agent is what started the topmost marked process.
Who hides what is above them (in a sandbox, below thousands of processes) is taken for an agent. The faces import it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

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
_DEPTH: Final = 4096


class Process(NamedTuple):
    """A process: the environment it was started with (empty where that cannot be seen), and its directory now."""

    environment: Mapping[str, str]
    directory: Path | None


class Agent(NamedTuple):
    """An agent that runs this process: by which variable it is known, and its own process, where that can be seen."""

    marker: str
    process: Process | None


def find(environment: Mapping[str, str]) -> Agent | None:
    """The agent that runs this process, whose own environment is `environment`; None: a person does."""
    found, agent = marker_in(environment), None
    if _hidden():
        return Agent(found or "a sandbox", None)
    for number, process in enumerate(_ancestors(), start=1):
        if number == _DEPTH:
            return Agent(found or "too many processes", None)
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


def _hidden() -> bool:
    """Whether somebody without rights has put this process where those above it cannot be seen (Linux).

    That takes a user namespace, of which such a one can fill in a single line, for a single user; containers that
    people work in map all of theirs (user_namespaces(7), pid_namespaces(7)).
    """
    if sys.platform != "linux":
        return False
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return True  # this is the list of processes of somewhere else
        if Path("/proc/self/ns/pid").readlink().name == _FIRST_NAMESPACE:
            return False
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:  # there is no /proc
        return False
    return len(lines) == 1 and lines[0].split()[2] == "1"


_FIRST_NAMESPACE: Final = f"pid:[{0xEFFFFFFC}]"
"""The machine's own, whose number is fixed (PROC_PID_INIT_INO of Linux's proc_ns.h)."""


def _by_proc(number: int) -> Iterator[Process]:
    """Linux: what proc(5) tells, without the cost of a library at every command."""
    while True:
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
