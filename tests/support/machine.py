"""One person's machine for whole-program tests: the real command line and server run as subprocesses."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import yaml

from claude_secrets.keys.custody import Custody
from claude_secrets.model import SHARED, Access
from claude_secrets.person import secrets
from claude_secrets.person.person import Person
from claude_secrets.store.store import Store
from tests.support.program import ACCOUNT_HOME
from tests.support.store_world import located

if TYPE_CHECKING and sys.platform != "win32":
    from tests.support.forked_program import ForkedProcess, ForkedProgram

    Process = subprocess.Popen[bytes] | ForkedProcess
else:  # Windows has no forks
    ForkedProgram = Any
    Process = subprocess.Popen[bytes]

DEADLINE = 120.0 if sys.platform == "win32" else 30.0
"""Seconds that an answer may take before the test fails. Under Wine, a server's first answer takes many seconds."""

PROGRAM = [sys.executable, "-P", str(Path(__file__).with_name("program.py"))]
"""The program, with the environment's home as the account's home; see `tests/support/program.py`."""

_OF_WINDOWS = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT")
"""The variables that processes on Windows need: without them, a process lacks sockets, random bytes or its shell."""


class Machine:
    """A home directory, an environment like the one that MCP clients pass on, and the program."""

    forked: ForkedProgram | None = None
    """Starts the program in less time, while a test uses the fixture `quick_starts`."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.home.mkdir(parents=True)
        in_profile = self.home / ".claude-secrets"
        on_windows = sys.platform == "win32"
        self.store = (in_profile if on_windows else self.home / ".local/share/claude-secrets") / "secrets.db"
        self.own_files = in_profile if on_windows else self.home / ".config" / "claude-secrets"
        self.key_file = self.home / ".keys" / "master.key"
        session = root / "session"
        session.mkdir(mode=0o700)
        self.configure("presence: any")  # the tests count as the person's scripts
        self.environment = {
            "HOME": str(self.home),
            ACCOUNT_HOME: str(self.home),  # stays even if a test changes HOME later
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(session),  # so that the developer's own keyring is not found by its usual socket
        }
        if sys.platform == "win32":
            self.environment |= {name: os.environ[name] for name in _OF_WINDOWS if name in os.environ}
            self.environment |= {"USERPROFILE": str(self.home), "TEMP": str(session), "TMP": str(session)}

    def use_key_file(self) -> Self:
        """Create the store with its key in a file, as a person without a keyring does.

        This runs in the test's own process: so many tests begin with it that starting `init` each time would take
        minutes.
        """
        self.key_file.parent.mkdir()
        self.project("setup", [])
        store = Store(self.store, Custody(environment=self.environment), time.time)
        store.create_with_key_file(self.key_file)
        store.close()
        return self

    def keep(
        self, name: str, value: str, *, at: Path | None = None, access: Access | None = None, scope: str = SHARED
    ) -> None:
        """Store a value, as the person's `set` does in that directory or at home, but in the test's own process."""
        store = Store(self.store, Custody(environment=self.environment), time.time)
        person = Person(store=store, project=located(at) if at else None, scope=scope)
        secrets.set_value(person, name, value, access)
        store.close()

    def project(self, name: str, allow: object = "*") -> Path:
        """Create a project directory with its allowlist; an empty `.git` makes it look like a git work tree."""
        directory = self.home / "work" / name
        (directory / ".claude").mkdir(parents=True, exist_ok=True)
        (directory / ".git").mkdir(exist_ok=True)
        (directory / ".claude" / "secrets.yml").write_text(yaml.safe_dump({"allow": allow}))
        return directory

    def configure(self, *lines: str) -> None:
        """Write the person's configuration."""
        self.own_files.mkdir(parents=True, exist_ok=True)
        (self.own_files / "config.yml").write_text("".join(f"{line}\n" for line in lines))

    def forget_configuration(self) -> Path:
        """Remove the person's configuration, and return its directory's path."""
        shutil.rmtree(self.own_files)
        return self.own_files

    def write_limit(self, per_minute: int) -> None:
        rules = {tool: {"rules": [{"rate_limit": f"{per_minute}/minute"}]} for tool in ("set_secret", "input_secret")}
        (self.own_files / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "allow", "tools": rules}))

    def run(
        self, *arguments: str, at: Path | None = None, stdin: str | None = None, environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; without `stdin` it gets the null device."""
        if self.forked is not None:
            command = [*PROGRAM, *arguments]
            done: subprocess.CompletedProcess[str]
            done = self.forked.run(command, at or self.home, {**self.environment, **environment}, stdin)
            return done
        return subprocess.run(
            [*PROGRAM, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            cwd=at or self.home,
            env={**self.environment, **environment},
            start_new_session=True,  # the developer's own terminal is not this person's
            check=False,
        )

    def server(
        self, at: Path, *arguments: str, environment: Mapping[str, str] = {}, wrapper: Sequence[str] = ()
    ) -> "Wire":
        """Start the server in directory `at` and shake hands."""
        start = _on_pipes if self.forked is None or wrapper else self.forked.serve
        wire = Wire([*wrapper, *PROGRAM, *arguments], at, {**self.environment, **environment}, start)
        wire.shake_hands()
        return wire


def _on_pipes(command: Sequence[str], at: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=at, env=dict(environment), stdin=pipe, stdout=pipe, stderr=pipe)


class Wire:
    """Raw JSON-RPC over the pipes of one server process."""

    def __init__(
        self,
        command: Sequence[str],
        at: Path,
        environment: Mapping[str, str],
        start: Callable[[Sequence[str], Path, Mapping[str, str]], Process] = _on_pipes,
    ) -> None:
        self.process = start(command, at, environment)
        self._lines: queue.Queue[bytes] = queue.Queue()
        self.stderr = b""
        self.said: list[bytes] = []
        self._id = 0
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_out, self._read_err)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_out(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_err(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.stderr += line

    def shake_hands(
        self, version: str = "2025-11-25", capabilities: Mapping[str, object] = {}, client: str = "test"
    ) -> dict[str, Any]:
        answer = self.request(
            "initialize",
            {
                "protocolVersion": version,
                "capabilities": dict(capabilities),
                "clientInfo": {"name": client, "version": "1"},
            },
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def send(self, message: Mapping[str, object]) -> None:
        self.send_line(json.dumps(message).encode() + b"\n")

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the next message; fails if the server has closed its output."""
        line = self._lines.get(timeout=DEADLINE)
        assert line, f"the server closed its output; stderr: {self.stderr!r}"
        self.said.append(line)
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def unread(self) -> bytes:
        """Return the output that was not received; complete once the server has ended."""
        rest = b""
        with suppress(queue.Empty):
            while True:
                rest += self._lines.get_nowait()
        return rest

    def request(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        """Send a request and return its complete answer."""
        self._id += 1
        self.send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": dict(params)})
        while (message := self.receive()).get("id") != self._id:
            pass
        return message

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Call a tool and return its result."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        assert "result" in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    def text(self, tool: str, **arguments: object) -> str:
        """Call a tool that must succeed and return its text."""
        result = self.call(tool, **arguments)
        assert not result.get("isError"), result
        return str(result["content"][0]["text"])

    def code(self, tool: str, **arguments: object) -> str:
        """Call a tool that must be refused and return the code."""
        result = self.call(tool, **arguments)
        assert result.get("isError") is True, result
        return str(result["content"][0]["text"]).partition("]")[0].removeprefix("[")

    def close(self) -> int:
        """End the session by closing its input, as clients do, and return the exit code."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            code = self.process.wait(timeout=DEADLINE)
        finally:
            self.process.kill()
        for reader in self._readers:
            reader.join(timeout=DEADLINE)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()
        return code


def in_a_shell(machine: Machine, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in the person's home, with empty input."""
    return subprocess.run(
        ["bash", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=machine.home,
        env=machine.environment,
        check=False,
    )
