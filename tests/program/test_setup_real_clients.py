"""Two commands lead a new person from nothing to connected clients: real Claude Code, Codex and Gemini CLI.

The models of the clients are stand-ins on loopback, and so is the user database; see `tests/support/newcomer.py`.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from claude_secrets.model import Tool
from claude_secrets.version import __version__
from tests.support.anthropic_stand_in import ModelApi, Use, bash
from tests.support.installation import NEXT
from tests.support.keyrings import RealKeyring
from tests.support.model_stand_ins import CodexModel, GeminiModel
from tests.support.newcomer import Newcomer, Screenplay
from tests.support.posix import skip_without
from tests.support.rounds import rounds

skip_without("terminals")

TOKEN = "canary-of-the-newcomer-0123456789"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
READING = [("list_secrets", {}), ("get_secret", {"name": "TOKEN"})]


class Ready(NamedTuple):
    """A person after both commands. `seconds` is how long the installation took."""

    person: Newcomer
    seconds: float
    setup: Screenplay


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, keyring: RealKeyring) -> Ready:
    person = Newcomer(tmp_path_factory.mktemp("newcomer"), keyring.environment)
    return Ready(person, person.install(), person.set_up())


@pytest.fixture(scope="module")
def person(ready: Ready) -> Newcomer:
    """The person with a project, in which agents may read the value of TOKEN, and which Gemini CLI trusts."""
    person = ready.person
    person.type("init")
    person.type("allow", "TOKEN")
    person.type("set", "TOKEN", answers=[("Value", TOKEN)])
    person.trust(person.project)
    return person


def claude(person: Newcomer, api: ModelApi) -> None:
    """Run a session of Claude Code without a terminal."""
    allowed = ",".join(["Bash", *(f"mcp__secrets__{tool}" for tool in sorted({tool.value for tool in Tool}))])
    words = ["claude", "-p", "run it", "--allowedTools", allowed, "--output-format", "json"]
    variables = {"ANTHROPIC_BASE_URL": api.address, "ANTHROPIC_API_KEY": "none", "ENABLE_TOOL_SEARCH": "false"}
    person.run(*words, environment={**variables, **QUIET})


QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "NO_PROXY": "127.0.0.1"}


def listed(person: Newcomer, client: str, *, at: Path | None = None) -> list[str]:
    """Return the lines of a client's list of servers that are about our program."""
    done = person.run(client, "mcp", "list", at=at, environment=QUIET)
    return [line for line in (done.stdout + done.stderr).splitlines() if str(person.program) in line]


def gemini_lists(person: Newcomer, state: str, *, at: Path) -> bool:
    """Whether Gemini CLI lists our server in this state. It waits only 5 s, so a busy machine needs several lists."""
    for _ in range(10):
        (line,) = listed(person, "gemini", at=at)
        if line.endswith(state):
            return True
        assert line.endswith("Disconnected"), line
    return False


def test_two_commands_connect_every_client(ready: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    person, setup = ready.person, ready.setup
    with capsys.disabled():
        sys.stdout.write(f"\n`uv tool install .` took {ready.seconds:.1f} s, `setup` {setup.seconds:.1f} s.\n")
    said = [line for line in setup.shown.splitlines() if line.startswith(("ok:", "warning:", "fail"))]
    assert setup.code == 0, said
    for client in ("Claude Code", "Codex", "Gemini CLI"):
        (line,) = [line for line in said if line.startswith(f"ok: {client}: connected in ")]
        assert "6 tools" in line
    (line,) = listed(person, "claude")
    assert line.startswith(f"secrets: {person.program} ")
    assert line.endswith("✔ Connected")


def test_claude_code_uses_a_stored_value(person: Newcomer) -> None:
    hashing = bash("claude-secrets exec --only TOKEN -- sh -c 'printf %s \"$TOKEN\" | sha256sum'")
    with ModelApi([*(Use(f"mcp__secrets__{tool}", given) for tool, given in READING), hashing]) as api:
        claude(person, api)
    names, value, digest = api.results()
    assert json.loads(names)["names"] == ["TOKEN"]
    assert TOKEN in value
    assert digest.startswith(DIGEST)


def test_codex_uses_a_stored_value(person: Newcomer) -> None:
    """Codex has no command that checks a server, so its session shows that it is connected."""
    with CodexModel(READING) as api:
        person.run("codex", "exec", "--skip-git-repo-check", *api.options(), "run it")
    assert api.offered() == {tool.value for tool in Tool}
    names, value = api.results()
    assert json.loads(names)["names"] == ["TOKEN"]
    assert value == TOKEN


def test_gemini_uses_a_stored_value_in_a_folder_that_it_trusts(person: Newcomer) -> None:
    assert gemini_lists(person, " - Connected", at=person.project)
    words = ["--approval-mode", "yolo", "--model", "gemini-2.5-flash", "--prompt", "run it"]
    with GeminiModel(READING) as api:
        person.run("gemini", *words, environment=api.environment())
    assert api.offered() == {tool.value for tool in Tool}
    names, value = api.results()
    assert json.loads(names)["names"] == ["TOKEN"]
    assert value == TOKEN


def test_in_other_folders_gemini_starts_no_server_and_we_say_what_to_do(person: Newcomer, ready: Ready) -> None:
    assert "Start a new session of Gemini CLI, in a folder that it trusts." in ready.setup.shown
    other = person.home / "work" / "other"
    shutil.copytree(person.project / ".claude", other / ".claude")
    assert gemini_lists(person, " - Disabled", at=other)
    said = person.run("claude-secrets", "doctor", at=other).stdout
    assert "Gemini CLI does not trust ~/work/other, and starts no servers there." in said
    assert "Start Gemini CLI there, and choose to trust the folder." in said
    if rounds(0, 1):
        person.trust(other)
        assert gemini_lists(person, " - Connected", at=other)
        assert "does not trust" not in person.run("claude-secrets", "doctor", at=other).stdout


GIT = '{"command": "no-such-program", "env": {"K": "canary-of-git"}}'
OTHERS = {
    ".claude.json": f'{{\n  "mcpServers": {{"git": {GIT}}},\n  "n": 1}}\n',
    ".codex/config.toml": '# mine\n[mcp_servers.git]\ncommand = "no-such-program"\nenv.K = "canary-of-git"\n',
    ".gemini/settings.json": f'{{\n  // mine\n  "mcpServers": {{"git": {GIT}}}\n}}\n',
}
"""Files with another server, which no client can start."""


def everything_listed(person: Newcomer) -> dict[str, list[str]]:
    """Return the names of the servers that each client lists."""
    names = {}
    for client in ("claude", "gemini"):
        done = person.run(client, "mcp", "list", environment=QUIET)
        found = re.findall(r"^(?:. )?([a-z-]+): (?:/|no-such)", done.stdout + done.stderr, re.MULTILINE)
        names[client] = sorted(found)
    codex = json.loads(person.run("codex", "mcp", "list", "--json").stdout)
    return {**names, "codex": sorted(each["name"] for each in codex)}


def test_clients_list_one_entry_and_none_afterwards_and_files_return(person: Newcomer, tmp_path: Path) -> None:
    other = person.moved(tmp_path)
    for name, text in OTHERS.items():
        (other.home / name).parent.mkdir(exist_ok=True)
        (other.home / name).write_text(text)
    alone, both = ["git"], ["git", "secrets"]
    shown = other.type("install", "--all") + other.type("install", "--all")
    assert everything_listed(other) == {"claude": both, "codex": both, "gemini": both}
    shown += other.type("uninstall", "--all")
    assert everything_listed(other) == {"claude": alone, "codex": alone, "gemini": alone}
    shown += other.type("install", "--all")
    rewritten = json.loads((other.home / ".claude.json").read_text())
    del rewritten["mcpServers"]["secrets"]
    shown += other.type("uninstall", "--undo")
    for name in (".codex/config.toml", ".gemini/settings.json"):
        assert (other.home / name).read_text() == OTHERS[name]
    assert json.loads((other.home / ".claude.json").read_text()) == rewritten
    assert "canary" not in shown


def test_an_upgrade_during_a_session_of_claude_code(person: Newcomer) -> None:
    """Claude Code keeps the old server, whose files uv replaces. The answer names what to do in Claude Code."""
    reading = Use("mcp__secrets__get_secret", {"name": "TOKEN"})

    class Upgrading(ModelApi):
        def answer(self, request: dict[str, Any]) -> dict[str, Any]:
            if self.results() and person.version == __version__:
                person.install(NEXT)
            return super().answer(request)

    with Upgrading([reading, reading]) as api:
        claude(person, api)
    before, after = api.results()
    assert TOKEN in before
    assert f"[RESTART_NEEDED] Claude Secrets was updated ({__version__} → {NEXT}) while" in after
    assert "type /mcp in Claude Code, choose the server, and then choose Reconnect." in after
    assert TOKEN not in after
    if rounds(0, 1):
        with ModelApi([reading]) as model:  # a new session starts the new version
            claude(person, model)
        assert TOKEN in model.results()[0]
