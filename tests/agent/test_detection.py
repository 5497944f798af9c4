"""Detect the caller in made-up process trees: one table row for each case, under the rules of each system."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from claude_secrets.agent import detection
from claude_secrets.agent.detection import Agent, CallerEvidence, Start
from claude_secrets.agent.processes import Process

ME: Final = 1000
PROJECT: Final = Path("/home/p/api")
MARK: Final = {"CLAUDECODE": "1"}


class Tree:
    """A made-up process tree: our ancestors, the nearest first. `input_from` names the process that sends our input."""

    def __init__(
        self, *line: Process, input_from: str | None = None, tells: bool = True, confined: bool = False
    ) -> None:
        numbers = range(100 + len(line), 100, -1)
        parents = [*numbers[1:], 0] if line else []
        self.line = [one._replace(number=n, parent=p) for one, n, p in zip(line, numbers, parents, strict=True)]
        self._input_from = input_from
        self._tells = tells
        self._confined = confined

    def ancestors(self) -> Iterator[Process]:
        return iter(self.line)

    def user(self) -> int | None:
        return ME

    def confined(self) -> bool:
        return self._confined

    def lives(self, number: int, started: str) -> bool:
        return any((one.number, one.started) == (number, started) for one in self.line)

    def holds_input(self, process: Process) -> bool | None:
        return process.name == self._input_from if self._tells else None


def process(
    name: str,
    environment: Mapping[str, str] | None = {},
    *,
    program: str = "",
    words: Sequence[str] = (),
    user: int = ME,
    privileged: bool = False,
    session: int = 50,
) -> Process:
    """Return a process that the person runs in their project."""
    return Process(
        number=0,
        parent=0,
        user=user,
        session=session,
        started="7",
        name=name,
        executable=program or f"/usr/bin/{name}",
        arguments=tuple(words) or (name,),
        environment=environment,
        directory=PROJECT,
        privileged=privileged,
    )


INIT: Final = process("systemd", None, user=0)
BASH: Final = process("bash")
TERMINAL: Final = process("gnome-terminal-")
MANAGER: Final = process("systemd", None)
"""`systemd --user`: init started it, and no other process can read its details."""
CLAUDE: Final = process("claude", program="/home/p/.local/share/claude/versions/2.1.330")
MARKED: Final = process("bash", MARK, words=["bash", "-c", "..."])
RUNTIME: Final = process("python3", words=["python3", "runtime.py"])
HIDDEN: Final = process("python3", None)
PTY_HOST: Final = process("claude", words=["/usr/bin/claude bg-pty-host"], session=51)
DAEMON: Final = process("claude", words=["/usr/bin/claude", "daemon", "run"], session=52)
DESKTOP: Final = process("Claude", program="/Applications/Claude.app/Contents/MacOS/Claude")
HELPER: Final = process("disclaimer", program="/Applications/Claude.app/Contents/Helpers/disclaimer")
GEMINI: Final = process("node", words=["/usr/bin/node", "/usr/bin/gemini"])
UVX: Final = process("uvx", MARK, words=["uvx", "claude-secrets"])

PEOPLE: Final = {
    "a terminal": Tree(BASH, TERMINAL, MANAGER, INIT),
    "ssh": Tree(BASH, process("sshd", None), process("sshd", None, user=0), INIT),
    "ssh, where others' processes are hidden": Tree(BASH, process("sshd", None)),
    "su": Tree(BASH, process("su", None, user=0), process("bash", None, user=1001), INIT),
    "tmux": Tree(BASH, process("tmux: server"), MANAGER, INIT),
    "a compositor that root has privileged": Tree(BASH, process("foot"), process("sway", None, privileged=True), BASH),
    "an editor's terminal": Tree(BASH, process("code", {"CLAUDE_CODE_SSE_PORT": "1"}), MANAGER, INIT),
    "a JetBrains terminal": Tree(BASH, process("java", program="/opt/idea/jbr/bin/java"), MANAGER, INIT),
    "cron": Tree(process("sh"), process("cron", None, user=0), INIT),
    "a service": Tree(INIT),
    "a container": Tree(BASH),
    "no process to be seen": Tree(),
    "a file called claude in an editor": Tree(BASH, process("vim", words=["vim", "claude"]), BASH, TERMINAL),
    "a session of tmux called codex": Tree(BASH, process("tmux: server", words=["tmux", "new", "-s", "codex"])),
    "a directory called claude": Tree(BASH, process("fish", program="/home/claude/bin/fish"), TERMINAL),
    "a script called claude.py": Tree(process("python3", words=["python3", "claude.py"]), BASH, TERMINAL),
    "an empty mark": Tree(process("bash", {"CLAUDECODE": ""}), TERMINAL),
    "what people have": Tree(process("bash", {"CODEX_HOME": "x", "CLAUDE_CODE_USE_BEDROCK": "1"}), TERMINAL),
}

AGENTS: Final = {
    "a marked shell": (Tree(MARKED, CLAUDE, BASH, TERMINAL), "Claude Code"),
    "a mark of the client's alone": (Tree(process("bash", MARK), RUNTIME, BASH), "CLAUDECODE"),
    "without the mark, the shell replaced": (Tree(CLAUDE, BASH, TERMINAL), "Claude Code"),
    "below a program without the mark": (Tree(process("env"), MARKED, RUNTIME, BASH), "CLAUDECODE"),
    "codex from npm": (Tree(process("node", words=["node", "/usr/bin/codex"]), BASH), "Codex"),
    "codex in its own sandbox": (Tree(BASH, process("codex-linux-san")), "Codex"),
    "qwen on a later node": (Tree(process("MainThread", words=["node", "/usr/bin/qwen"]), BASH), "Qwen Code"),
    "copilot": (
        Tree(process("MainThread", program="/usr/lib/node_modules/@github/copilot-linux-x64/copilot"), BASH),
        "Copilot CLI",
    ),
    "claude in the background": (Tree(BASH, process("claude"), PTY_HOST, DAEMON, INIT), "Claude Code"),
    "gemini": (
        Tree(process("node", words=["/usr/bin/node", "--max-old-space-size=8000", "/usr/local/bin/gemini"]), BASH),
        "Gemini CLI",
    ),
    "cursor-agent": (
        Tree(process("node", program="/home/p/.local/share/cursor-agent/versions/1/node"), BASH),
        "Cursor Agent",
    ),
    "claude from npm": (
        Tree(process("x", program="/usr/lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe"), BASH),
        "Claude Code",
    ),
    "claude that was upgraded meanwhile": (
        Tree(process("x", program="/usr/bin/claude (deleted)"), BASH),
        "Claude Code",
    ),
    "another user's agent": (
        Tree(BASH, process("su", None, user=0), process("claude", None, user=1001)),
        "Claude Code",
    ),
    "a process that hides its environment": (Tree(BASH, HIDDEN, RUNTIME, BASH), detection.UNREADABLE),
    "a namespace": (Tree(BASH, confined=True), detection.SANDBOX),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_stays_one(name: str) -> None:
    assert detection.find_agent(CallerEvidence({}, PEOPLE[name])) is None
    assert detection.who_started(CallerEvidence({}, PEOPLE[name])).agent is None


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_known(name: str) -> None:
    tree, sign = AGENTS[name]
    found = detection.find_agent(CallerEvidence({}, tree))
    assert found is not None
    assert found.sign == sign


def test_a_mark_of_its_own_is_enough_wherever_it_runs() -> None:
    for tree in PEOPLE.values():
        found = detection.find_agent(CallerEvidence(MARK, tree))
        assert found is not None
        assert found.sign == "CLAUDECODE"


def test_the_agent_works_where_the_topmost_sign_is() -> None:
    inner = process("codex")._replace(directory=Path("/elsewhere"))
    found = detection.find_agent(CallerEvidence({}, Tree(MARKED, inner, MARKED, CLAUDE, BASH)))
    assert found is not None
    assert found.process is not None
    assert (found.sign, found.process.directory) == ("Claude Code", PROJECT)
    unseen = detection.find_agent(CallerEvidence({}, Tree(MARKED, RUNTIME, BASH, HIDDEN, RUNTIME)))
    assert unseen == Agent(detection.UNREADABLE, None)


def test_where_an_agent_in_the_background_works_is_where_its_session_is() -> None:
    session = process("claude")._replace(directory=Path("/home/p/other"))
    found = detection.find_agent(CallerEvidence({}, Tree(MARKED, session, PTY_HOST, DAEMON, INIT)))
    assert found is not None
    assert found.process is not None
    assert found.process.directory == Path("/home/p/other")


def test_an_agent_of_a_client_that_works_in_many_places_works_nowhere() -> None:
    server = process("codex", words=["/usr/bin/codex", "app-server", "--listen", "unix://"])
    marked = process("bash", {"CODEX_THREAD_ID": "1"}, session=60)
    for line in ([marked, server], [server], [process("codex", session=60), server]):
        assert detection.find_agent(CallerEvidence({}, Tree(*line))) == Agent("Codex", None)
    start = detection.who_started(CallerEvidence({}, Tree(server, INIT, input_from="codex")))
    assert start.agent is None
    assert not start.marked


def test_a_recorded_client_is_known_by_its_number_and_start() -> None:
    tree = Tree(BASH, RUNTIME, BASH)
    number = tree.line[1].number
    assert detection.find_agent(CallerEvidence({}, tree, recorded={(number, "8"), (1, "7")})) is None
    found = detection.find_agent(CallerEvidence({}, tree, recorded={(number, "7")}))
    assert found is not None
    assert found.process == tree.line[1]


def test_whoever_works_in_namespaces_of_their_own_says_so() -> None:
    assert detection.find_agent(CallerEvidence({}, Tree(BASH, confined=True), is_mine=lambda: True)) is None
    assert detection.find_agent(CallerEvidence(MARK, Tree(BASH, confined=True), is_mine=lambda: True)) is not None


def test_too_many_processes_hide_nothing() -> None:
    assert detection.find_agent(CallerEvidence({}, Tree(*[BASH] * 5000))) == Agent(detection.UNREADABLE, None)


# The starter of each server: the client's name and whether it marks the processes that it starts, or None for an agent.
STARTS: Final[Mapping[str, tuple[Tree, Mapping[str, str], tuple[str, bool] | None]]] = {
    "Claude Code": (Tree(CLAUDE, BASH, input_from="claude"), MARK, ("claude", True)),
    "Claude Code through uvx": (Tree(UVX, CLAUDE, BASH, input_from="claude"), MARK, ("claude", True)),
    "Claude Code through a script of the person's": (
        Tree(process("bash", MARK, words=["bash", "serve"]), CLAUDE, BASH, input_from="claude"), MARK, ("claude", True)
    ),
    "gemini, which starts itself": (Tree(GEMINI, GEMINI, BASH, input_from="node"), {}, ("node", False)),
    "codex from npm, which starts itself": (
        Tree(process("codex"), process("node", words=["node", "/usr/bin/codex"]), BASH, input_from="codex"),
        {},
        ("codex", False),
    ),
    "claude in the background": (Tree(CLAUDE, PTY_HOST, DAEMON, INIT, input_from="claude"), MARK, ("claude", True)),
    "by hand, by its own client without the mark": (
        Tree(CLAUDE._replace(session=53), CLAUDE, BASH, input_from="claude"), {}, None
    ),
    "a client without marks": (Tree(process("codex"), BASH, input_from="codex"), {}, ("codex", False)),
    "an editor": (Tree(process("zed"), MANAGER, INIT, input_from="zed"), {}, ("zed", False)),
    "an agent runtime": (Tree(RUNTIME, BASH, input_from="python3"), {}, ("python3", False)),
    "a shell with a file": (Tree(BASH, TERMINAL), {}, ("", False)),
    "by hand, from a marked program": (
        Tree(process("python3", MARK), MARKED, CLAUDE, input_from="python3"), MARK, None
    ),
    "by hand, the shell replaced by a program that is marked": (
        Tree(process("python3", MARK), RUNTIME, BASH, input_from="python3"), {}, None
    ),
    "by hand, without marks below": (Tree(RUNTIME, MARKED, CLAUDE, BASH, input_from="python3"), {}, None),
    "by hand, the shell replaced by the program": (Tree(RUNTIME, CLAUDE, BASH, input_from="python3"), {}, None),
    "by hand, the shell replaced by the server": (Tree(CLAUDE, BASH), {}, None),
    "by hand, the shell replaced, still marked": (Tree(CLAUDE, BASH), MARK, None),
    "by hand, from a pipe beside it": (Tree(MARKED, CLAUDE, BASH), {}, None),
    "by hand, of a client without a name": (Tree(MARKED, RUNTIME, BASH), MARK, None),
    "by an agent's own client": (Tree(CLAUDE, MARKED, CLAUDE, BASH, input_from="claude"), MARK, None),
    "by another client below a client": (Tree(process("codex"), CLAUDE, BASH, input_from="codex"), {}, None),
    "elsewhere: Claude Desktop, by the helper in its bundle": (
        Tree(process("uv"), HELPER, DESKTOP, INIT, tells=False), {}, ("disclaimer", False)
    ),
    "elsewhere: a helper in a bundle of its own": (
        Tree(process("x", program="/tmp/Claude.app/Contents/MacOS/x"), DESKTOP, INIT, tells=False), {}, None
    ),
    "in a namespace": (Tree(CLAUDE, confined=True, input_from="claude"), MARK, None),
    "below a process that hides itself": (Tree(RUNTIME, HIDDEN, RUNTIME, BASH, input_from="none"), {}, None),
    "elsewhere: Claude Code through uvx": (Tree(UVX, CLAUDE, BASH, tells=False), MARK, ("claude", True)),
    "elsewhere: by hand": (Tree(process("python3", MARK), MARKED, CLAUDE, tells=False), MARK, None),
    "elsewhere: by hand, the shell replaced by the program": (Tree(RUNTIME, CLAUDE, tells=False), {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_a_server_asks_only_the_person_whose_client_started_it(name: str) -> None:
    tree, environment, expected = STARTS[name]
    start = detection.who_started(CallerEvidence(environment, tree))
    if expected is None:
        assert start.agent is not None
        assert start.client is None
    else:
        client, marked = expected
        assert start.agent is None
        assert (start.client.name if start.client else "", start.marked) == (client, marked)


def test_a_client_below_a_recorded_one_is_an_agents() -> None:
    tree = Tree(process("python3"), process("node"), BASH, input_from="python3")
    assert detection.who_started(CallerEvidence({}, tree)).agent is None
    assert detection.who_started(CallerEvidence({}, tree, recorded={(tree.line[1].number, "7")})).agent is not None
    assert detection.who_started(CallerEvidence({}, tree, recorded={(tree.line[0].number, "7")})) == Start(
        None, tree.line[0]
    )


@pytest.mark.parametrize(
    "host", ["bash", "zsh", "code", "cursor", "zed", "java", "emacs", "tmux: server", "sshd", "systemd", "jupyter-lab"]
)
def test_below_which_people_have_terminals_is_never_recorded(host: str) -> None:
    assert not detection.may_be_recorded(process(host)._replace(number=5))


def test_remote_editors_are_not_recorded_either() -> None:
    server = process("node", program="/home/p/.vscode-server/cli/servers/Stable-1/server/node")
    assert not detection.may_be_recorded(server._replace(number=5))
    assert detection.may_be_recorded(RUNTIME._replace(number=5))
    assert not detection.may_be_recorded(RUNTIME._replace(number=1))
