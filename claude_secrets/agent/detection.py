"""Detect the caller: whether an agent runs this process, and whether the person's own client started this server.

Always: these functions are pure; `processes` reads the facts. The caller is an agent if this process or an ancestor has
a client's marker in its environment, or if an ancestor is a client. An ancestor that cannot be read counts as an agent,
except programs that open sessions (sshd, systemd) and privileged programs. If several ancestors show signs of an agent,
the topmost of them decides in which directory the agent works.
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
"""Environment variables that clients set for their agents' programs. A person's terminal has none of them."""


class Client(NamedTuple):
    """Patterns that recognise a client: a program that runs an agent and never a person's terminal.

    `program` matches the program's file or the name that the process gives itself. `script` matches the script that an
    interpreter runs.
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
"""The paths of Cursor's agent come from its installer. All other patterns were observed in the real clients."""

_INTERPRETERS: Final = re.compile(r"(^|/)(node|nodejs|mainthread|bun|deno)$")
_LAUNCHERS: Final = re.compile(r"(^|/)(uv|uvx|env|npx|pipx|cmd)$|^npm exec ")
_LAUNCHING_SCRIPTS: Final = re.compile(r"(^|/)(npx|npx-cli\.js|npm|npm-cli\.js)$")
_SHELLS: Final = re.compile(r"(^|/)-?(ba|da|z|k|fi)?sh$|(^|/)(pwsh|powershell|nu|busybox)$")
_BUNDLE: Final = re.compile(r"/.*?\.app/Contents/")
_DEPTH: Final = 4096

SANDBOX: Final = "a sandbox"
UNREADABLE: Final = "a process that cannot be read"


class Agent(NamedTuple):
    """An agent that runs this process.

    `sign` says how the agent was recognised. `process` is the agent's own process, or None if it is not known.
    """

    sign: str
    process: Process | None


class Start(NamedTuple):
    """The agent or the client that started this server.

    If `agent` is not None, an agent started the server by hand, and the server does not ask the person questions for
    this agent. Otherwise `client` is the person's own client, or None if the client is not known. `marked` says whether
    this client sets a marker for the processes that it starts.
    """

    agent: Agent | None
    client: Process | None = None
    marked: bool = False


class CallerEvidence(NamedTuple):
    """The facts from which the caller is detected.

    `environment` is this process's environment. `recorded` are the process IDs and start times of clients that started
    servers. `is_mine` returns whether the person works in their own Linux namespaces.
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
    """Find the agent or the client that started this server.

    The client is the process at the other end of the server's standard input. The client also sends the person's
    answers. Processes between the client and the server only pass the input on, and may have the same marker as the
    server.
    """
    own = marker_in(view.environment)
    line = None if _is_confined(view) else _line(view)
    if line is None:
        return Start(find_agent(view))
    holder = _holder(view, line)
    if holder is None:  # standard input is a file, a terminal or another program's pipe, so there is no client
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
    """The first marker in an environment, which shows that an agent runs the process; None if there is no marker."""
    return next((name for name in environment if name in MARKERS and environment[name]), None)


def client_of(process: Process) -> str | None:
    """The name of the client that a process runs, or None if its program is not a known client."""
    programs, scripts = _programs(process), _scripts(process)
    for client in CLIENTS:
        if client.program and any(map(client.program.search, programs)):
            return None if _only_keeps_sessions(process) else client.name
        if client.script and any(map(client.script.search, scripts)):
            return client.name
    return None


def _only_keeps_sessions(process: Process) -> bool:
    """Whether the process is the part of Claude Code that only starts background sessions, and so is not an agent."""
    first, *words = process.arguments or ("",)
    return words[:2] == ["daemon", "run"] or first.endswith("claude bg-pty-host")


def _works_in_many_places(process: Process) -> bool:
    """Whether the process is the part of Codex that runs agents of several projects.

    The directory of that process does not show the agent's project.
    """
    return "app-server" in process.arguments[1:]


def may_be_recorded(process: Process) -> bool:
    """Whether a server may record the process as a client.

    A process that may also run a person's terminal must not be recorded.
    """
    names = [*_programs(process), *_scripts(process)]
    return process.number > 1 and not any(map(_HOSTS.search, names)) and not any(map(_SHELLS.search, names))


_HOSTS: Final = re.compile(
    r"(^|/)(code|code-insiders|code-oss|codium|vscodium|cursor|windsurf|zed|zed-editor|emacs|vim|nvim|hx|sublime_text|"
    r"java|idea|pycharm|webstorm|goland|clion|rider|phpstorm|rubymine|jupyter[^/]*|ipython3?|tmux|tmux: server|screen|"
    r"zellij|systemd|init|launchd|sshd|login|su|sudo|cron|crond|make|explorer)$"
    r"|/\.(vscode|cursor|windsurf)[^/]*server/|/jbr/bin/"
)
"""Editors, multiplexers and programs that open sessions. They also run a person's terminals."""


def _topmost(view: CallerEvidence, own: str | None, line: Sequence[Process]) -> Agent | None:
    """The agent that the topmost sign shows: the client itself, or the process that started the marked process."""
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
    """The sign that the process `line[place]` belongs to an agent, or None."""
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
    """Whether a process of this user hides its environment although it has no privileges that would explain this."""
    if process.user is None or process.user != view.processes.user() or process.privileged:
        return False
    return above is not None and above.user != 0  # a child of a root process may be a session of sshd or systemd


def _line(view: CallerEvidence) -> list[Process] | None:
    """The ancestors of this process, the parent first, or None if there are too many to examine."""
    line: list[Process] = []
    for process in view.processes.ancestors():
        if len(line) == _DEPTH:
            return None
        line.append(process)
    return line


def _is_confined(view: CallerEvidence) -> bool:
    return view.processes.confined() and not view.is_mine()


def _holder(view: CallerEvidence, line: Sequence[Process]) -> int | None:
    """The index in `line` of the process at the other end of standard input, or None."""
    for place, process in enumerate(line):
        holds = view.processes.holds_input(process)
        if holds or (holds is None and not _is_launcher(process)):
            return place
    return None


def _is_launcher(process: Process) -> bool:
    """Whether the process only starts another process and leaves its standard input to the other process."""
    names = _programs(process)
    if any(map(_LAUNCHERS.search, names)) or any(map(_LAUNCHING_SCRIPTS.search, _scripts(process))):
        return True
    runs_one = any(word.startswith("-") and "c" in word for word in process.arguments[1:2])
    return runs_one and any(map(_SHELLS.search, names))


def _is_one_program(client: Process, above: Process) -> bool:
    """Whether `client` and its parent `above` are two processes of one client.

    A program that an agent starts has a different session ID.
    """
    if client.session != above.session:
        return False
    bundle = _BUNDLE.match(above.executable)
    if bundle and client.executable.startswith(bundle[0]):  # macOS: an application's own helper
        return True
    return client_of(client) == client_of(above) is not None


def _programs(process: Process) -> list[str]:
    """The names of a process's program: the executable's path, the process name and the first argument."""
    executable = process.executable.removesuffix(" (deleted)")
    return [_plain(name) for name in (executable, process.name, *process.arguments[:1])]


def _scripts(process: Process) -> list[str]:
    """The script that an interpreter process runs. The list is empty for other processes."""
    if not any(map(_INTERPRETERS.search, _programs(process))):
        return []
    return [_plain(word) for word in process.arguments[1:] if not word.startswith("-")][:1]


def _plain(name: str) -> str:
    """A program's name or path in lower case, with forward slashes and without `.exe`."""
    return PurePath(name).as_posix().lower().removesuffix(".exe") if name else ""
