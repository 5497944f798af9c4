"""Detect the caller: whether an agent runs this process, and whether the person's own client started this server.

Always: pure; `processes` gathers the facts. The caller is an agent if this process or one above it has a client's
marker in its environment, or if a process above it is a client. A process that cannot be read counts as an agent,
unless it opens sessions (sshd, systemd) or runs with privileges. If there are several signs, the topmost one decides
where the agent works.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Final, NamedTuple

from claude_secrets.agent.processes import Process, Processes

MARKERS: Final = frozenset(
    {
        "CLAUDECODE",
        "GEMINI_CLI",
        "QWEN_CODE",
        "COPILOT_CLI",
        "CURSOR_AGENT",
        "CODEX_SANDBOX",
        "CODEX_SANDBOX_NETWORK_DISABLED",
        "CODEX_THREAD_ID",
        "CLAUDE_SECRETS_AGENT",
    }
)
"""Variables that clients set for programs which their agents run, and that no terminal of a person has."""


class Client(NamedTuple):
    """The names of a program that runs an agent and never a person's terminal.

    `program` matches its file or its own name. `script` matches the script that an interpreter runs.
    """

    name: str
    program: re.Pattern[str] | None = None
    script: re.Pattern[str] | None = None


CLIENTS: Final = (
    Client(
        "Claude Code",
        re.compile(r"(^|/)claude$|/@anthropic-ai/claude-code[^/]*/bin/|/claude/versions/[^/]+$"),
        re.compile(r"/bin/claude$|/@anthropic-ai/claude-code/"),
    ),
    Client("Codex", re.compile(r"(^|/)codex$|^codex-linux-san"), re.compile(r"/bin/codex(\.js)?$")),
    Client("Gemini CLI", script=re.compile(r"/bin/gemini$|/@google/gemini-cli/")),
    Client("Qwen Code", script=re.compile(r"/bin/qwen$|/@qwen-code/qwen-code/")),
    Client("Copilot CLI", re.compile(r"/@github/copilot[^/]*/")),
    Client("Cursor Agent", re.compile(r"(^|/)cursor-agent$|/cursor-agent/versions/")),
)
"""Observed in the real clients, except the paths of Cursor's agent, which come from its installer."""

_INTERPRETERS: Final = re.compile(r"(^|/)(node|nodejs|mainthread|bun|deno)$")
_LAUNCHERS: Final = re.compile(r"(^|/)(uv|uvx|env|npx|pipx|cmd)$|^npm exec ")
_LAUNCHING_SCRIPTS: Final = re.compile(r"(^|/)(npx|npx-cli\.js|npm|npm-cli\.js)$")
_SHELLS: Final = re.compile(r"(^|/)-?(ba|da|z|k|fi)?sh$|(^|/)(pwsh|powershell|nu|busybox)$")
_BUNDLE: Final = re.compile(r"/.*?\.app/Contents/")
_DEPTH: Final = 4096

SANDBOX: Final = "a sandbox"
UNREADABLE: Final = "a process that cannot be read"


class Agent(NamedTuple):
    """An agent that runs this process: the sign that shows it, and the agent's own process if that is visible."""

    sign: str
    process: Process | None


class Start(NamedTuple):
    """Who started this server.

    `agent`: an agent started the server by hand, so the person is not asked on its behalf. Otherwise `client` is the
    person's own client, if known, and `marked` says that this client sets a marker for the processes that it starts.
    """

    agent: Agent | None
    client: Process | None = None
    marked: bool = False


class CallerEvidence(NamedTuple):
    """The evidence about the caller.

    `environment` is this process's own. `recorded` are clients that servers have seen, by process ID and start.
    `is_mine` says whether the person works in namespaces of their own.
    """

    environment: Mapping[str, str]
    processes: Processes
    recorded: Collection[tuple[int, str]] = ()
    is_mine: Callable[[], bool] = lambda: False


def find_agent(view: CallerEvidence) -> Agent | None:
    """The agent that runs this process, or None if a person runs it."""
    own = marker_in(view.environment)
    if _is_confined(view):
        return Agent(own or SANDBOX, None)
    line = _line(view)
    if line is None:
        return Agent(own or UNREADABLE, None)
    return _topmost(view, own, line)


def who_started(view: CallerEvidence) -> Start:
    """Find who started this server: the process at the other end of its standard input, which gives the answers.

    Processes between that one and this one only pass the input on, and may have the same marker as the server.
    """
    own = marker_in(view.environment)
    line = None if _is_confined(view) else _line(view)
    if line is None:
        return Start(find_agent(view))
    holder = _holder(view, line)
    if holder is None:  # a file, a terminal, or a pipe from elsewhere: not from a client
        return Start(_topmost(view, own, line))
    client = line[holder]
    top = holder
    while top + 1 < len(line) and _is_one_program(line[top], line[top + 1]):
        top += 1
    marked = marker_in(client.environment or {})
    if marked or any(_sign(view, line, place) for place in range(top + 1, len(line))):
        return Start(_topmost(view, own, line))
    between = [own, *(marker_in(process.environment or {}) for process in line[:holder])]
    return Start(None, client, marked=any(between))


def marker_in(environment: Mapping[str, str]) -> str | None:
    """The first variable in an environment that shows that an agent runs the process."""
    return next((name for name in environment if name in MARKERS and environment[name]), None)


def client_of(process: Process) -> str | None:
    """The name of the agent's client that a process is, by its program, or None if it is no known client."""
    programs, scripts = _programs(process), _scripts(process)
    for client in CLIENTS:
        if client.program and any(map(client.program.search, programs)):
            return None if _only_keeps_sessions(process) else client.name
        if client.script and any(map(client.script.search, scripts)):
            return client.name
    return None


def _only_keeps_sessions(process: Process) -> bool:
    """Whether it is the part of Claude Code that only starts sessions in the background and is no agent itself."""
    first, *words = process.arguments or ("",)
    return words[:2] == ["daemon", "run"] or first.endswith("claude bg-pty-host")


def _works_in_many_places(process: Process) -> bool:
    """Whether it is the part of Codex that runs agents of several projects, so its directory does not tell which."""
    return "app-server" in process.arguments[1:]


def may_be_recorded(process: Process) -> bool:
    """Whether a server may record the process as a client: not if a person may have a terminal below it."""
    names = [*_programs(process), *_scripts(process)]
    return process.number > 1 and not any(map(_HOSTS.search, names)) and not any(map(_SHELLS.search, names))


_HOSTS: Final = re.compile(
    r"(^|/)(code|code-insiders|code-oss|codium|vscodium|cursor|windsurf|zed|zed-editor|emacs|vim|nvim|hx|sublime_text|"
    r"java|idea|pycharm|webstorm|goland|clion|rider|phpstorm|rubymine|jupyter[^/]*|ipython3?|tmux|tmux: server|screen|"
    r"zellij|systemd|init|launchd|sshd|login|su|sudo|cron|crond|make|explorer)$"
    r"|/\.(vscode|cursor|windsurf)[^/]*server/|/jbr/bin/"
)
"""Editors, multiplexers and programs that open sessions: a person works below them, too."""


def _topmost(view: CallerEvidence, own: str | None, line: Sequence[Process]) -> Agent | None:
    """The agent by the topmost sign: a client itself, or the process that started the marked process."""
    for place in reversed(range(len(line))):
        sign = _sign(view, line, place)
        if sign is None:
            continue
        if sign == UNREADABLE or _works_in_many_places(line[place]):
            return Agent(sign, None)
        if sign == marker_in(line[place].environment or {}):
            return Agent(sign, line[place + 1] if place + 1 < len(line) else None)
        return Agent(sign, line[place])
    return None if own is None else Agent(own, line[0] if line else None)


def _sign(view: CallerEvidence, line: Sequence[Process], place: int) -> str | None:
    """The sign that the process at this place in the line belongs to an agent."""
    process = line[place]
    if client := client_of(process):
        return client
    if (process.number, process.started) in view.recorded:
        return "a client that started a server"
    if process.environment is not None:
        return marker_in(process.environment)
    above = line[place + 1] if place + 1 < len(line) else None
    return UNREADABLE if _hides(view, process, above) else None


def _hides(view: CallerEvidence, process: Process, above: Process | None) -> bool:
    """Whether a process of this user hides its environment without having got privileges that would explain it."""
    if process.user is None or process.user != view.processes.user() or process.privileged:
        return False
    return above is not None and above.user != 0  # below root it opens a session, as sshd and systemd do


def _line(view: CallerEvidence) -> list[Process] | None:
    """The processes above this one, or None if there are too many to look at."""
    line: list[Process] = []
    for process in view.processes.ancestors():
        if len(line) == _DEPTH:
            return None
        line.append(process)
    return line


def _is_confined(view: CallerEvidence) -> bool:
    return view.processes.confined() and not view.is_mine()


def _holder(view: CallerEvidence, line: Sequence[Process]) -> int | None:
    """The place in the line of the process at the other end of standard input."""
    for place, process in enumerate(line):
        holds = view.processes.holds_input(process)
        if holds or (holds is None and not _is_launcher(process)):
            return place
    return None


def _is_launcher(process: Process) -> bool:
    """Whether the process only starts another one, which uses its standard input."""
    names = _programs(process)
    if any(map(_LAUNCHERS.search, names)) or any(map(_LAUNCHING_SCRIPTS.search, _scripts(process))):
        return True
    runs_one = any(word.startswith("-") and "c" in word for word in process.arguments[1:2])
    return runs_one and any(map(_SHELLS.search, names))


def _is_one_program(client: Process, above: Process) -> bool:
    """Whether `above` is the launcher of this client. A program that an agent starts has another session instead."""
    if client.session != above.session:
        return False
    bundle = _BUNDLE.match(above.executable)
    if bundle and client.executable.startswith(bundle[0]):  # macOS: an application's own helper
        return True
    return client_of(client) == client_of(above) is not None


def _programs(process: Process) -> list[str]:
    """The names of a process's program: its file, its name and its first argument."""
    executable = process.executable.removesuffix(" (deleted)")
    return [_plain(name) for name in (executable, process.name, *process.arguments[:1])]


def _scripts(process: Process) -> list[str]:
    """The script that a process runs, if it is an interpreter."""
    if not any(map(_INTERPRETERS.search, _programs(process))):
        return []
    return [_plain(word) for word in process.arguments[1:] if not word.startswith("-")][:1]


def _plain(name: str) -> str:
    """A program's name or path in POSIX spelling."""
    return PurePath(name).as_posix().lower().removesuffix(".exe") if name else ""
