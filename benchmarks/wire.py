"""A client with almost no cost of its own: it sends one line, receives one line, and measures the time between them."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


class Client:
    """A server process and its pipes, after the handshake. `ready` is the seconds from its start until then."""

    def __init__(self, command: Sequence[str], at: Path, environment: Mapping[str, str]) -> None:
        self._begun = time.perf_counter()
        self._process = subprocess.Popen(
            command, cwd=at, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._number = 0
        self.ask("initialize", _HANDSHAKE)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    @property
    def age(self) -> float:
        """Return the seconds since the process was started."""
        return time.perf_counter() - self._begun

    def ask(self, method: str, params: Mapping[str, object]) -> tuple[Any, float]:
        """Send one request, and return its result and the seconds until it came."""
        assert self._process.stdout
        self._number += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}).encode() + b"\n"
        begun = time.perf_counter()
        self._write(line)
        answer = self._process.stdout.readline()
        seconds = time.perf_counter() - begun
        return json.loads(answer)["result"], seconds

    def call(self, tool: str, arguments: Mapping[str, object]) -> float:
        """Call a tool, which must succeed, and return the seconds it took."""
        result, seconds = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return seconds

    def peak_bytes(self) -> int:
        """Return the process's peak memory in bytes (Linux only)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def _send(self, message: Mapping[str, object]) -> None:
        self._write(json.dumps(message).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(line)
        self._process.stdin.flush()
