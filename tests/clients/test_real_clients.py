"""The real clients start a server that records its environment. `launch` would give it the same environment.

Each client writes the entry itself, so these tests also check the table's files, keys and entries.
"""

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from claude_secrets.clients.known import NAME, Account, Format
from claude_secrets.clients.launch import start_of
from claude_secrets.clients.outcomes import Start
from tests.clients.test_known import client
from tests.support.eventually import wait_until
from tests.support.machine import Machine
from tests.support.posix import skip_without
from tests.support.requirements import require

skip_without("process groups")
assert sys.platform != "win32"

RECORDER = """
import json, os, sys
with open(sys.argv[1] + ".part", "w") as file:
    json.dump([dict(os.environ), os.getcwd()], file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
"""
GIVEN = {
    "MY_TOKEN": "1",
    "my_key": "2",
    "SSH_AUTH_SOCK": "/nowhere/agent",
    "CLAUDE_SECRETS_STORE": "/nowhere/secrets.db",
    "DATABASE_URL": "3",
    "INDEX": "https://user:word@index.example/simple",
    "GIT_CONFIG_KEY_0": "4",
    "PLAIN": "5",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus",
    "DISPLAY": ":99",
    "TERM": "xterm",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "LC_CTYPE": "C.UTF-8",
    "TMPDIR": "/tmp",
    "USER": "me",
    "LOGNAME": "me",
    "SHELL": "/bin/sh",
    "VIRTUAL_ENV": "/nowhere/venv",
    "LD_LIBRARY_PATH": "/nowhere/lib",
}
OWN = {"FIRST": "${PLAIN}", "SECOND": "$PLAIN", "CLASSPATH": "/nowhere/classes"}
"""Variables of the entry. Some clients replace references, and Gemini ignores CLASSPATH."""

DEAD_MODEL = 'model_providers.dead={name="dead",base_url="http://127.0.0.1:9/v1",wire_api="responses"}'
ADDED = {
    "claude-code": {
        "AI_AGENT",
        "CLAUDE_CODE_CHILD_NOTES_DIR",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_LAUNCHED_BY_SESSION_IDS",
        "CLAUDE_CODE_SESSION_ID",
        "COREPACK_ENABLE_AUTO_PIN",
    },
    "codex": {"PATH"},  # with the directory of Codex's own programs in front
    "gemini": {"GEMINI_CLI_NO_RELAUNCH"},
}
"""The variables that a client sets and `launch` leaves as they are: numbers and paths of one session."""


def variables(option: str) -> list[str]:
    return [word for name, value in OWN.items() for word in (option, f"{name}={value}")]


def adding(identifier: str, command: Sequence[str]) -> list[str]:
    """Return the client's own command that registers a server for all projects."""
    if identifier == "gemini":
        return ["mcp", "add", "-s", "user", *variables("-e"), "-t", "stdio", NAME, *command]
    scope = ["--scope", "user"] if identifier == "claude-code" else []
    return ["mcp", "add", *scope, NAME, *variables("--env"), "--", *command]


STARTING = {
    "claude-code": ["mcp", "list"],
    "codex": ["exec", "--skip-git-repo-check", "-c", "model_provider=dead", "-c", DEAD_MODEL, "hello"],
    "gemini": ["mcp", "list"],
}


@pytest.mark.parametrize("identifier", STARTING)
def test_a_real_client_starts_a_server_as_launch_does(bare_machine: Machine, tmp_path: Path, identifier: str) -> None:
    each = client(identifier)
    program = require(each.programs[0])
    project = bare_machine.project("api") / "inner"
    project.mkdir()
    environment = {**bare_machine.environment, **GIVEN, "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}
    (bare_machine.home / ".gemini").mkdir()
    trusted = {str(project): "TRUST_FOLDER"}
    (bare_machine.home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    (tmp_path / "recorder.py").write_text(RECORDER)
    place = tmp_path / "recorded"
    command = [sys.executable, str(tmp_path / "recorder.py"), str(place)]
    add = [program, *adding(identifier, command)]
    subprocess.run(add, cwd=project, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=120)

    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [program, *STARTING[identifier]],
        cwd=project,
        env=environment,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    try:
        wait_until(place.exists, 120)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    real, directory = json.loads(place.read_text())

    account = Account(bare_machine.home, environment, sys.platform)
    text = each.file(account).read_text()
    entry = tomllib.loads(text) if each.format is Format.TOML else json.loads(text)
    for key in each.path():
        entry = entry[key]
    ours = each.entry(command[0], command[1:], OWN)
    ours.pop("env_vars", None)  # Codex itself names no variables of the session
    assert entry == ours
    start = start_of(each, entry, account=account, project=project)
    assert isinstance(start, Start)
    assert start.directory == Path(directory)
    added = ADDED[identifier]
    assert added <= set(real)
    assert {name: real[name] for name in real.keys() - added} == {
        name: value for name, value in start.environment.items() if name not in added
    }
