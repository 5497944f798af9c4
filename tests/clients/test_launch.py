"""Starting servers as clients do: real processes, including our own server."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claude_secrets.clients.known import CLIENTS, Account, Client
from claude_secrets.clients.launch import launch, start_of
from claude_secrets.clients.outcomes import Failure, Launched, Reason, Start
from tests.clients.test_known import client
from tests.support.eventually import lives, wait_until
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.program import ACCOUNT_HOME, CLIENT_RECORDS

skip_without("signals")
assert sys.platform != "win32"

SERVER = """
import json, os, signal, subprocess, sys, time
mode, place = sys.argv[1:]
child = subprocess.Popen(["sleep", "1000"]) if "child" in mode else None
if "stubborn" in mode:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
with open(place + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid if child else os.getpid()} {os.getppid()}")
os.rename(place + ".part", place)
if "noisy" in mode:
    sys.stderr.write("x" * 300_000 + "\\n")
if "junk" in mode:
    print("Welcome!", flush=True)
names = json.loads(os.environ.get("NAMES", "[]"))
for line in sys.stdin:
    if "silent" in mode:
        continue
    message = json.loads(line)
    if message["method"] == "initialize":
        info = {"name": "small", "version": "1.2\\u202e"}
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}, "serverInfo": info}
        assert message["params"]["clientInfo"]["name"] == "claude-secrets doctor"
    elif "id" in message:
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
while "stubborn" in mode:
    time.sleep(1000)
"""


@pytest.fixture
def account(bare_machine: Machine) -> Account:
    return Account(bare_machine.home, bare_machine.environment, sys.platform)


@pytest.fixture
def project(bare_machine: Machine) -> Path:
    return bare_machine.project("api")


def started(account: Account, identifier: str, entry: Mapping[str, object], project: Path) -> Launched:
    return launch(client(identifier), entry, account=account, project=project)


def failure(account: Account, identifier: str, entry: Mapping[str, object], project: Path) -> Failure:
    found = started(account, identifier, entry, project).failure
    assert found is not None
    return found


def small(place: Path, mode: str, names: str = "[]") -> dict[str, object]:
    script = place.with_suffix(".py")
    script.write_text(SERVER)
    return {"command": sys.executable, "args": ["-P", str(script), mode, str(place)], "env": {"NAMES": names}}


@pytest.mark.parametrize("each", CLIENTS, ids=lambda each: each.id)
def test_our_server_connects_in_every_client(
    bare_machine: Machine, project: Path, tmp_path: Path, each: Client
) -> None:
    """Nobody is recorded as a client, although the server records its client."""
    records = tmp_path / "records"
    own = {ACCOUNT_HOME: str(bare_machine.home), CLIENT_RECORDS: str(records)}
    # A busy machine may need longer than a client waits.
    account = Account(bare_machine.home, {**bare_machine.environment, "MCP_TIMEOUT": "120000"}, sys.platform)
    patience = {"gemini": {"timeout": 120_000}, "codex": {"startup_timeout_sec": 120}}.get(each.id, {})
    found = started(account, each.id, {**each.entry(PROGRAM[0], PROGRAM[1:], own), **patience}, project)
    assert found.failure is None
    assert (found.tools, found.seconds > 0) == (6, True)
    assert found.version
    assert not records.exists()


def test_a_missing_command_is_named_as_node_does(account: Account, project: Path) -> None:
    found = failure(account, "gemini", {"command": "uvxx", "args": ["claude-secrets"]}, project)
    assert found.reason is Reason.NOT_FOUND
    assert "spawn uvxx ENOENT" in found.message
    assert "PATH" in found.message


@pytest.mark.parametrize("command", ["~/tool", "./tool", "/nowhere/tool"])
def test_a_path_without_a_program_is_not_found(account: Account, project: Path, command: str) -> None:
    (account.home / "tool").touch(0o755)
    assert failure(account, "claude-code", {"command": command}, project).reason is Reason.NOT_FOUND


def test_vs_code_alone_knows_the_tilde(account: Account, project: Path) -> None:
    (account.home / "tool").touch(0o755)
    start = start_of(client("vscode"), {"command": "~/tool"}, account=account, project=project)
    assert isinstance(start, Start)
    assert start.command == str(account.home / "tool")


def test_claude_desktop_does_not_see_the_person_s_path(account: Account, project: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.touch(0o755)
    mine = account._replace(environment={**account.environment, "PATH": str(tmp_path)})
    entry = {"command": "tool"}
    assert isinstance(start_of(client("codex"), entry, account=mine, project=project), Start)
    missing = start_of(client("claude-desktop"), entry, account=mine, project=project)
    assert isinstance(missing, Failure)
    assert missing.reason is Reason.NOT_FOUND


def test_a_file_that_is_no_program_is_not_executable(account: Account, project: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    assert failure(account, "zed", {"command": str(plain)}, project).reason is Reason.NOT_EXECUTABLE
    plain.write_text("#!/nowhere/python\n")
    plain.chmod(0o755)
    found = failure(account, "zed", {"command": str(plain)}, project)
    assert found.reason is Reason.NOT_EXECUTABLE
    assert "#!" in found.message


def test_an_early_end_shows_the_code_and_the_last_lines(account: Account, project: Path) -> None:
    script = "for i in 1 2 3 4 5 6; do echo line $i >&2; done; printf '\\033[31mno %s\\n' \"$PASS\" >&2; exit 3"
    entry = {"command": "/bin/sh", "args": ["-c", script], "env": {"PASS": "canary-value"}}
    found = failure(account, "cursor", entry, project)
    assert found.reason is Reason.EXITED
    assert "exit code 3" in found.message
    assert found.stderr == ("line 3", "line 4", "line 5", "line 6", "[31mno …")


def test_a_signal_is_named(account: Account, project: Path) -> None:
    found = failure(account, "codex", {"command": "/bin/sh", "args": ["-c", "kill -9 $$"]}, project)
    assert "by signal 9" in found.message


def test_a_silent_server_times_out_after_the_client_s_patience(account: Account, project: Path, tmp_path: Path) -> None:
    entry = {**small(tmp_path / "server", "silent noisy child stubborn"), "timeout": 2500}
    found = failure(account, "gemini", entry, project)
    assert (found.reason, "within 2.5 s" in found.message) == (Reason.TIMED_OUT, True)
    assert [len(line) for line in found.stderr] == [201]
    assert not any(map(lives, map(int, (tmp_path / "server").read_text().split())))


def test_gemini_gets_more_time_than_its_list_of_servers_waits(account: Account, project: Path) -> None:
    start = start_of(client("gemini"), {"command": "/bin/sh"}, account=account, project=project)
    assert isinstance(start, Start)
    assert start.patience == 60  # a session waits for ten minutes, so a slow machine can still use the server


@pytest.mark.parametrize("script", ["echo usage: tool", "cat", "echo '{}'; read line"])
def test_another_program_is_no_mcp_server(account: Account, project: Path, script: str) -> None:
    entry = {"command": "/bin/sh", "args": ["-c", script], "startup_timeout_sec": 5}
    assert failure(account, "codex", entry, project).reason is Reason.NOT_MCP


def test_another_mcp_server_is_not_ours(account: Account, project: Path, tmp_path: Path) -> None:
    found = started(account, "codex", small(tmp_path / "server", "junk", '["get_secret", "other"]'), project)
    assert found.failure is not None
    assert (found.failure.reason, found.tools, found.version) == (Reason.OTHER_SERVER, 2, "1.2")


def test_a_tool_that_a_policy_hides_does_not_make_another_server(
    account: Account, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)  # the server takes this process for the agent
    (project / ".claude" / "secrets.yml").write_text(HIDING)
    found = started(account, "codex", {"command": PROGRAM[0], "args": PROGRAM[1:]}, project)
    assert (found.failure, found.tools) == (None, 5)


HIDING = "allow: [A]\npolicy:\n  version: '1'\n  default: allow\n  hide: [delete_secret]\n"


@pytest.mark.parametrize("identifier", ["claude-code", "codex", "gemini", "zed"])
def test_nothing_is_left_of_a_server_that_does_not_want_to_end(
    account: Account, project: Path, tmp_path: Path, identifier: str
) -> None:
    place = tmp_path / "server"
    started(account, identifier, small(place, "stubborn child"), project)
    assert not any(map(lives, map(int, place.read_text().split())))


BAD = [
    {},
    {"command": ""},
    {"command": ["x"]},
    {"command": "x", "args": "y"},
    {"command": "x", "args": [1]},
    {"command": "x", "env": ["A"]},
    {"command": "x", "env": {"A": 1}},
]


@pytest.mark.parametrize("entry", BAD, ids=str)
def test_a_bad_entry_starts_nothing(account: Account, project: Path, entry: Mapping[str, object]) -> None:
    assert failure(account, "windsurf", entry, project).reason is Reason.BAD_ENTRY


def test_a_missing_directory_is_named(account: Account, project: Path) -> None:
    found = failure(account, "codex", {"command": "/bin/cat", "cwd": "gone"}, project)
    assert (found.reason, str(project / "gone") in found.message) == (Reason.NO_DIRECTORY, True)


def test_an_entry_s_values_are_in_no_failure(account: Account, project: Path) -> None:
    start = start_of(client("codex"), {"command": "/bin/cat", "env": {"A": "canary"}}, account=account, project=project)
    assert "canary" not in repr(start)


WHERE = "import os, psutil, sys; open(sys.argv[1], 'w').write(psutil.Process(os.getppid()).cwd())"


def test_the_server_s_client_works_in_the_project(account: Account, project: Path, tmp_path: Path) -> None:
    """A server that an agent's client marks serves the project in which its client works."""
    entry = {"command": sys.executable, "args": ["-P", "-c", WHERE, str(tmp_path / "where")]}
    assert failure(account, "claude-code", entry, project).reason is Reason.EXITED
    assert (tmp_path / "where").read_text() == str(project)


def test_what_an_entry_starts_counts_as_an_agent(account: Account, project: Path) -> None:
    """An agent can write an entry, and a person runs the check: the entry must not act as that person."""
    entry = {"command": PROGRAM[0], "args": [*PROGRAM[1:], "key", "list"]}
    found = failure(account, "cursor", entry, project)
    assert (found.reason, "[PERSON_ONLY] An agent runs this" in found.stderr[0]) == (Reason.EXITED, True)


INTERRUPTED = """
import json, os, sys
from pathlib import Path
from claude_secrets.clients.known import Account, by_id
from claude_secrets.clients.launch import launch
entry, home, project = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
try:
    launch(by_id("claude-desktop"), entry, account=Account(home, dict(os.environ), sys.platform), project=project)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_launch_that_is_interrupted_leaves_nothing(
    account: Account, project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "server"
    words = [json.dumps(small(place, "silent stubborn child")), str(account.home), str(project)]
    process = subprocess.Popen([sys.executable, "-P", "-c", INTERRUPTED, *words], env=account.environment)
    wait_until(place.exists)
    numbers = [int(each) for each in place.read_text().split()]
    assert all(map(lives, numbers))
    process.send_signal(number)
    assert process.wait(60) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    if number == signal.SIGKILL:  # nobody waits, but the helper process notices
        wait_until(lambda: not any(map(lives, numbers)))
    assert not any(map(lives, numbers))
