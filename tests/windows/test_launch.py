"""Starting servers on Windows as clients do: real processes, including our own server.

The launches run at the same time, because starting a process can take seconds.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from claude_secrets.clients.known import Account, by_id
from claude_secrets.clients.launch import launch, start_of
from claude_secrets.clients.outcomes import Failure, Launched, Reason, Start
from tests.support.eventually import lives
from tests.support.machine import PROGRAM, Machine
from tests.support.program import ACCOUNT_HOME

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

STUBBORN = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(1000)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
{end}
"""


class Site:
    """A person's machine with a project, and the directory in which scripts of the tests are."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(root)
        self.project = self.machine.project("api")
        self.root = root
        profile = self.machine.home / "AppData"
        added = {"APPDATA": str(profile / "Roaming"), "GITHUB_TOKEN": "canary", "MCP_TIMEOUT": "200000"}
        environment = {**self.machine.environment, **added}
        self.account = Account(self.machine.home, environment, sys.platform)

    def entry(self, identifier: str, command: str, *arguments: str) -> dict[str, object]:
        found = by_id(identifier)
        assert found is not None
        return found.entry(command, arguments, {ACCOUNT_HOME: str(self.machine.home)})

    def launch(self, identifier: str, entry: Mapping[str, object]) -> Launched:
        found = by_id(identifier)
        assert found is not None
        return launch(found, entry, account=self.account, project=self.project)

    def start(self, identifier: str, entry: Mapping[str, object]) -> Start | Failure:
        found = by_id(identifier)
        assert found is not None
        return start_of(found, entry, account=self.account, project=self.project)

    def script(self, name: str, text: str) -> Path:
        (self.root / name).write_text(text)
        return self.root / name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site of all"))


@pytest.fixture(scope="module")
def launched(site: Site) -> Iterator[dict[str, Future[Launched]]]:
    """All launches of this module. Clients with a longer patience of their own get it, because Wine is slow."""
    words = " ".join(f'"{word}"' for word in PROGRAM)
    shim = site.script("shim.cmd", f"@echo off\r\n{words} %*\r\n")
    waiting = site.script("waiting.py", STUBBORN.replace("{end}", "time.sleep(1000)"))
    leaving = site.script(
        "leaving.py", STUBBORN.replace("{end}", "print('no', os.environ['PASS'], file=sys.stderr)\nsys.exit(3)")
    )
    entries: dict[str, tuple[str, Mapping[str, object]]] = {
        "claude-code": ("claude-code", site.entry("claude-code", *PROGRAM)),
        "codex": ("codex", {**site.entry("codex", *PROGRAM), "startup_timeout_sec": 200}),
        "claude-desktop": ("claude-desktop", site.entry("claude-desktop", str(shim), "--project", str(site.project))),
        "waiting": (
            "gemini",
            {"command": sys.executable, "args": ["-S", str(waiting), str(site.root / "waiting")], "timeout": 15_000},
        ),
        "leaving": (
            "gemini",
            {
                "command": sys.executable,
                "args": ["-S", str(leaving), str(site.root / "leaving")],
                "env": {"PASS": "canary-value"},
                "timeout": 12_000,
            },
        ),
        "text": ("windsurf", {"command": str(site.script("tool.exe", "text"))}),
    }
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(site.launch, *each) for name, each in entries.items()}


def ended(file: Path) -> bool:
    return not any(map(lives, map(int, file.read_text().split())))


@pytest.mark.parametrize("name", ["claude-code", "codex", "claude-desktop"])
def test_our_server_connects(launched: dict[str, Future[Launched]], name: str) -> None:
    """Claude Desktop's entry names a batch file, which npm and others use as commands."""
    found = launched[name].result()
    assert found.failure is None
    assert (found.tools, found.seconds > 0) == (6, True)


def test_a_silent_server_times_out_and_leaves_nothing(launched: dict[str, Future[Launched]], site: Site) -> None:
    found = launched["waiting"].result().failure
    assert found is not None
    assert (found.reason, "within 15 s" in found.message) == (Reason.TIMED_OUT, True)
    assert ended(site.root / "waiting")


def test_a_server_that_ends_leaves_no_child(launched: dict[str, Future[Launched]], site: Site) -> None:
    found = launched["leaving"].result().failure
    assert found is not None
    assert found == Failure(Reason.EXITED, "The server ended with exit code 3 before it answered.", ("no …",))
    assert ended(site.root / "leaving")


def test_a_file_that_is_no_program_is_not_executable(launched: dict[str, Future[Launched]]) -> None:
    found = launched["text"].result().failure
    assert found is not None
    assert found.reason is Reason.NOT_EXECUTABLE


def test_a_missing_command_is_not_found(site: Site) -> None:
    (site.project / "uvxx.exe").write_bytes(b"MZ")  # clients do not search the working directory
    found = site.start("codex", {"command": "uvxx"})
    assert isinstance(found, Failure)
    assert (found.reason, "spawn uvxx ENOENT" in found.message) == (Reason.NOT_FOUND, True)


def test_clients_differ_in_their_environments_and_none_has_a_variable_twice(site: Site) -> None:
    entry = {"command": sys.executable, "env": {"Path": "C:\\mine", "Own": "x"}}
    starts = {name: site.start(name, entry) for name in ("claude-desktop", "codex", "vscode")}
    environments = {name: start.environment for name, start in starts.items() if isinstance(start, Start)}
    assert len(environments) == len(starts)
    for name, environment in environments.items():
        assert {key.upper() for key in environment} == set(environment)
        assert (environment["OWN"], "SYSTEMROOT" in environment) == ("x", True)
        assert ("GITHUB_TOKEN" in environment) == (name == "vscode")
    assert environments["codex"]["PATH"] == "C:\\mine"
    assert environments["vscode"]["PATH"] == f"{os.environ['PATH']};C:\\mine"


def test_a_reference_to_a_variable_may_have_any_case(site: Site) -> None:
    found = site.start("vscode", {"command": sys.executable, "args": ["${env:UserProfile}"]})
    assert isinstance(found, Start)
    assert json.dumps(found.arguments) == json.dumps([str(site.machine.home)])
