"""Start a server, do the MCP handshake with it, list its tools, and end it: the process that `launch` starts for this.

This is a process of its own for two reasons. `launch` marks its environment as an agent's, because an agent can write a
client's entry: a program that an entry starts must not count as the person, only because a person started the check.
And whoever waits for this process can be interrupted: this process ends the server as soon as its own standard input is
closed.

Always: the task comes from standard input, because it may contain credentials. The server and its own children have
ended before this process reports, except children that left the server's session.
"""

import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import anyio.abc
import anyio.to_thread
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import ClientSession
from mcp.shared.message import SessionMessage

from claude_secrets.version import __version__

if sys.platform == "win32":
    from claude_secrets.clients.windows_job import Job

CLIENT: Final = "claude-secrets doctor"
_GRACE: Final = 2.0
"""Seconds until a server that was asked to end is asked more firmly."""

_POLL: Final = 0.01
_LINE_LIMIT: Final = 4_000_000
_ERROR_LIMIT: Final = 16_384
"""The largest numbers of bytes of one message, and of the end of standard error that is kept."""


class _Server:
    """A running server and what it has written."""

    def __init__(self, process: anyio.abc.Process, errors: "_Errors") -> None:
        self.process = process
        self._input = cast("anyio.abc.ByteSendStream", process.stdin)  # both are pipes
        self._output = cast("anyio.abc.ByteReceiveStream", process.stdout)
        self.errors = errors
        self.wrote_other = False
        if sys.platform == "win32":
            self._job: Job | None = None
            with suppress(OSError):  # the server has already ended
                self._job = Job(process.pid)

    async def read(self, to: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass the server's messages on. Lines that are no messages are ignored, as clients ignore them."""
        left = b""
        async with to:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                async for chunk in self._output:
                    *lines, left = (left + chunk).split(b"\n")
                    if len(left) > _LINE_LIMIT:
                        left, self.wrote_other = b"", True
                    for line in filter(bytes.strip, lines):
                        try:
                            message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                        except ValueError:
                            self.wrote_other = True
                        else:
                            await to.send(SessionMessage(message))
        self.wrote_other |= bool(left.strip())

    async def write(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):  # the end is seen when reading
            async for each in messages:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                await self._input.send(text.encode() + b"\n")

    async def stop(self, ending: str) -> None:
        """End the server as its client would, and then by force if it does not end. Whatever it started is killed."""
        if self.process.returncode is None:
            await self._ask(ending)
        if not await self.has_ended(_GRACE) and sys.platform != "win32":
            self._signal_all("SIGTERM")
            await self.has_ended(_GRACE)
        self._signal_all("SIGKILL")
        await self.has_ended(_GRACE)
        if sys.platform == "win32":
            await self._children_have_ended()
        with anyio.move_on_after(_GRACE):
            await self.process.aclose()

    async def has_ended(self, seconds: float) -> bool:
        """Wait until the server has ended, for at most some seconds. `wait` would also wait for its children."""
        with anyio.move_on_after(seconds):
            while self.process.returncode is None:
                await anyio.sleep(_POLL)
        return self.process.returncode is not None

    async def _ask(self, ending: str) -> None:
        if ending == "close" or sys.platform == "win32":
            with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._input.aclose()
        else:
            signals = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM, "kill": signal.SIGKILL}
            with suppress(ProcessLookupError):
                self.process.send_signal(signals[ending])

    if sys.platform == "win32":

        def _signal_all(self, _name: str) -> None:
            """Kill the server and its children, which are one job."""
            if self._job is not None:
                self._job.kill()
            elif self.process.returncode is None:
                self.process.kill()

        async def _children_have_ended(self) -> None:
            with anyio.move_on_after(_GRACE):
                while self._job is not None and not self._job.is_empty:
                    await anyio.sleep(_POLL)

    else:

        def _signal_all(self, name: str) -> None:
            """Signal the server and its children, which are one process group."""
            with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for ended processes
                os.killpg(self.process.pid, getattr(signal, name))


class _Errors:
    """Collects the end of what a server writes to standard error."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def lines(self) -> list[str]:
        """Return the collected lines. Call this after the server has ended and `writing` is closed."""
        self._thread.join(_GRACE)  # a process that left the server's group can hold the other end
        text = b"".join(list(self._kept))[-_ERROR_LIMIT:].decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()]

    def _collect(self) -> None:
        while data := os.read(self._reading, 65_536):
            self._kept.append(data)
            self._size += len(data)
            while len(self._kept) > 1 and self._size - len(self._kept[0]) > _ERROR_LIMIT:
                self._size -= len(self._kept.popleft())


async def _check(task: Mapping[str, Any]) -> dict[str, object]:
    errors, started = _Errors(), anyio.current_time()
    try:
        process = await anyio.open_process(
            [task["command"], *task["arguments"]],
            env=task["environment"],
            cwd=task["directory"],
            stderr=errors.writing,
            start_new_session=True,
        )
    except OSError as error:
        return {"outcome": "not started", "errno": error.errno}
    except ValueError:  # a null character
        return {"outcome": "not started", "errno": None}
    finally:
        os.close(errors.writing)
    server = _Server(process, errors)
    report: dict[str, object] = {"outcome": "interrupted"}
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_end_with_caller, group.cancel_scope)
            report = await _talk(server, task["patience"])
            report["seconds"] = anyio.current_time() - started
            # A child of a server that has ended can hold the server's output open until the patience is over.
            if report["outcome"] in {"no answer", "timed out"} and await server.has_ended(0.2):
                report |= {"outcome": "exited", "code": process.returncode}
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await server.stop(task["ending"])
    return {**report, "wrote_other": server.wrote_other, "stderr": errors.lines()}


async def _talk(server: _Server, patience: float) -> dict[str, object]:
    """Do the handshake, and list the tools."""
    to_session, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_server, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    report: dict[str, object] = {"outcome": "timed out"}
    async with anyio.create_task_group() as group, to_session, from_server, to_server, from_session:
        group.start_soon(server.read, to_session)
        group.start_soon(server.write, from_session)
        with anyio.move_on_after(patience):
            report = await _converse(from_server, to_server)
        group.cancel_scope.cancel()
    return report


async def _converse(
    received: MemoryObjectReceiveStream[SessionMessage | Exception], sent: MemoryObjectSendStream[SessionMessage]
) -> dict[str, object]:
    try:
        me = mcp_types.Implementation(name=CLIENT, version=__version__)
        async with ClientSession(received, sent, client_info=me) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
    except Exception:  # noqa: BLE001  whatever a wrong answer leads to; its text may be the server's
        return {"outcome": "no answer"}
    return {
        "outcome": "connected",
        "server": hello.server_info.name,
        "version": hello.server_info.version,
        "tools": [tool.name for tool in tools.tools],
    }


async def _end_with_caller(scope: anyio.CancelScope) -> None:
    """Cancel the check when standard input is closed, which means that nobody waits for its result any longer."""
    await anyio.to_thread.run_sync(os.read, 0, 1, abandon_on_cancel=True)
    scope.cancel()


def main() -> None:
    """Read the task from the first line of standard input, and write the report to standard output."""
    task = json.loads(_first_line())
    report = anyio.run(_check, task)
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def _first_line() -> bytes:
    """Read one line without a buffer, so that the end of the input can be waited for afterwards."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(0, 65_536)
        if not more:
            break
        data += more
    return data


if __name__ == "__main__":
    main()
