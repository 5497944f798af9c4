"""Who is asking: whether an agent runs this process, and whether the person's own client started this server.

Always: pure; `processes` gathers the facts. The caller is an agent if the environment of this process or of one above
it bears a client's mark, or if a client is among those processes. A process that cannot be read counts as an agent,
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
"""Variables that clients set in the environment of what their agents run, and that no terminal of a person's has."""


class Client(NamedTuple):
    """A program that runs an agent, and never a person's terminal: what it is called.

    `program` is its file or what it calls itself; `script` what an interpreter runs.
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
"""Seen in the real clients; only the paths of Cursor's agent come from its installer."""

_INTERPRETERS: Final = re.compile(r"(^|/)(node|nodejs|mainthread|bun|deno)$")
_LAUNCHERS: Final = re.compile(r"(^|/)(uv|uvx|env|npx|pipx|cmd)$|^npm exec ")
_LAUNCHING_SCRIPTS: Final = re.compile(r"(^|/)(npx|npx-cli\.js|npm|npm-cli\.js)$")
_SHELLS: Final = re.compile(r"(^|/)-?(ba|da|z|k|fi)?sh$|(^|/)(pwsh|powershell|nu|busybox)$")
_BUNDLE: Final = re.compile(r"/.*?\.app/Contents/")
_DEPTH: Final = 4096

SANDBOX: Final = "a sandbox"
UNREADABLE: Final = "a process that cannot be read"


class Agent(NamedTuple):
    """An agent that runs this process: by which sign it is known, and its own process, where that can be seen."""

    sign: str
    process: Process | None


class Start(NamedTuple):
    """Who started this server.

    `agent`: an agent did so by hand, and nobody is asked on its behalf. Else `client` is the person's own client, where
    it can be told, and `marked` says that it marks what it starts.
    """

    agent: Agent | None
    client: Process | None = None
    marked: bool = False


class CallerEvidence(NamedTuple):
    """What can be known of who is asking.

    `environment` is this process's own; `recorded` are the clients that servers have seen, each by its number and when
    it was started; `is_mine` says whether the person works in namespaces of their own.
    """

    environment: Mapping[str, str]
    processes: Processes
    recorded: Collection[tuple[int, str]] = ()
    is_mine: Callable[[], bool] = lambda: False


def find_agent(view: CallerEvidence) -> Agent | None:
    """The agent that runs this process; None: a person does."""
    own = marker_in(view.environment)
    if _is_confined(view):
        return Agent(own or SANDBOX, None)
    line = _line(view)
    if line is None:
        return Agent(own or UNREADABLE, None)
    return _topmost(view, own, line)


def who_started(view: CallerEvidence) -> Start:
    """Who started this server: whoever holds the other end of its standard input gives the answers.

    What stands between that process and this one only hands the input on, and may be marked as the server is.
    """
    own = marker_in(view.environment)
    line = None if _is_confined(view) else _line(view)
    if line is None:
        return Start(find_agent(view))
    holder = _holder(view, line)
    if holder is None:  # a file, a terminal, or a pipe from beside it: no client's
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
    """The first variable by which an environment shows that an agent runs what has it."""
    return next((name for name in environment if name in MARKERS and environment[name]), None)


def client_of(process: Process) -> str | None:
    """Which agent's client a process is, by its program; None: none that is known."""
    programs, scripts = _programs(process), _scripts(process)
    for client in CLIENTS:
        if client.program and any(map(client.program.search, programs)):
            return None if _only_keeps_sessions(process) else client.name
        if client.script and any(map(client.script.search, scripts)):
            return client.name
    return None


def _only_keeps_sessions(process: Process) -> bool:
    """Whether it is the part of Claude Code that starts sessions in the background and works nowhere itself."""
    first, *words = process.arguments or ("",)
    return words[:2] == ["daemon", "run"] or first.endswith("claude bg-pty-host")


def _works_in_many_places(process: Process) -> bool:
    """Whether it is the part of Codex that runs the agents of several projects; its own directory is one of these."""
    return "app-server" in process.arguments[1:]


def may_be_recorded(process: Process) -> bool:
    """Whether a server may remember the process as a client: not where people have terminals of their own below it."""
    names = [*_programs(process), *_scripts(process)]
    return process.number > 1 and not any(map(_HOSTS.search, names)) and not any(map(_SHELLS.search, names))


_HOSTS: Final = re.compile(
    r"(^|/)(code|code-insiders|code-oss|codium|vscodium|cursor|windsurf|zed|zed-editor|emacs|vim|nvim|hx|sublime_text|"
    r"java|idea|pycharm|webstorm|goland|clion|rider|phpstorm|rubymine|jupyter[^/]*|ipython3?|tmux|tmux: server|screen|"
    r"zellij|systemd|init|launchd|sshd|login|su|sudo|cron|crond|make|explorer)$"
    r"|/\.(vscode|cursor|windsurf)[^/]*server/|/jbr/bin/"
)
"""Editors, multiplexers and what opens sessions: a person works below them, too."""


def _topmost(view: CallerEvidence, own: str | None, line: Sequence[Process]) -> Agent | None:
    """The agent by the sign that is furthest up: a client itself, or what started the process that is marked."""
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
    """What shows that the process at that place in the line is an agent's."""
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
    """Whether a process of this user does not let itself be looked into, though nobody with rights made it so."""
    if process.user is None or process.user != view.processes.user() or process.privileged:
        return False
    return above is not None and above.user != 0  # else it opens a session, as sshd and systemd do


def _line(view: CallerEvidence) -> list[Process] | None:
    """The processes above this one; None where there are too many to look at."""
    line: list[Process] = []
    for process in view.processes.ancestors():
        if len(line) == _DEPTH:
            return None
        line.append(process)
    return line


def _is_confined(view: CallerEvidence) -> bool:
    return view.processes.confined() and not view.is_mine()


def _holder(view: CallerEvidence, line: Sequence[Process]) -> int | None:
    """The place in the line of the process that holds the other end of standard input."""
    for place, process in enumerate(line):
        holds = view.processes.holds_input(process)
        if holds or (holds is None and not _is_launcher(process)):
            return place
    return None


def _is_launcher(process: Process) -> bool:
    """Whether the process only starts another one, which has its standard input."""
    names = _programs(process)
    if any(map(_LAUNCHERS.search, names)) or any(map(_LAUNCHING_SCRIPTS.search, _scripts(process))):
        return True
    runs_one = any(word.startswith("-") and "c" in word for word in process.arguments[1:2])
    return runs_one and any(map(_SHELLS.search, names))


def _is_one_program(client: Process, above: Process) -> bool:
    """Whether a client was started by its own launcher: what its agent starts has a session of its own."""
    if client.session != above.session:
        return False
    bundle = _BUNDLE.match(above.executable)
    if bundle and client.executable.startswith(bundle[0]):  # macOS: an application's own helper
        return True
    return client_of(client) == client_of(above) is not None


def _programs(process: Process) -> list[str]:
    """What a process's program is called: its file, its name and its first word."""
    executable = process.executable.removesuffix(" (deleted)")
    return [_plain(name) for name in (executable, process.name, *process.arguments[:1])]


def _scripts(process: Process) -> list[str]:
    """The script that a process runs, where it is an interpreter of such."""
    if not any(map(_INTERPRETERS.search, _programs(process))):
        return []
    return [_plain(word) for word in process.arguments[1:] if not word.startswith("-")][:1]


def _plain(name: str) -> str:
    """A program's name or path as it is spelled on POSIX."""
    return PurePath(name).as_posix().lower().removesuffix(".exe") if name else ""
