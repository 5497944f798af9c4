"""Transports messages over standard input and output: limits lines, answers invalid lines, and ends cleanly.

Always: only JSON-RPC reaches standard output, and other prints go to standard error. The shutdown waits up to
`GRACE_SECONDS` for the answers to open requests. This module reads only the kind, method and ids of a message.
"""

import os
import queue
import select
import signal
import stat
import sys
import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp_types import (
    METHOD_NOT_FOUND,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from claude_secrets.server.lines import LINE_LIMIT, TOO_LONG, BadLine, as_line, parse_line

GRACE_SECONDS: Final = 5.0
"""How long the shutdown waits for calls in progress."""

_CHUNK: Final = 1 << 16
_AHEAD: Final = 64


class _Wire:
    """The input and output pipes. Each pipe has its own thread, so that a slow client cannot block the event loop."""

    def __init__(self, source: int, sink: int, loop: AbstractEventLoop) -> None:
        self._source, self._sink, self._loop = source, sink, loop
        self._room = threading.Semaphore(_AHEAD)
        self._out: queue.SimpleQueue[tuple[bytes, anyio.Event]] = queue.SimpleQueue()
        self._unwritten = 0
        self._broken = False
        self._takes = _room_in_pipe(sink)
        self.ended = anyio.Event()
        self._send, self.lines = anyio.create_memory_object_stream[bytes | None](max_buffer_size=_AHEAD + 1)

    def start(self) -> None:
        threading.Thread(target=self._read, name="stdin", daemon=True).start()
        threading.Thread(target=self._write, name="stdout", daemon=True).start()

    def taken(self) -> None:
        """Report that a line was handled, so that the reading thread may read another line."""
        self._room.release()

    async def write(self, message: bytes) -> None:
        """Write one message as a line. Return when the line is written or the client has closed the pipe."""
        line = as_line(message)
        # Write in this thread if possible: waking the other thread takes a fifth of the time of a whole call.
        if self._unwritten == 0 and self._takes(line):
            self._put(line)
            return
        written = anyio.Event()
        self._unwritten += 1
        self._out.put((line, written))
        await written.wait()
        self._unwritten -= 1

    def end(self) -> None:
        """Begin the shutdown. This may be called from any thread, and more than once."""
        self._call(self.ended.set)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _read(self) -> None:
        with suppress(OSError):
            for line in _split(self._source):
                self._room.acquire()
                self._call(self._send.send_nowait, line)
        self.end()

    def _write(self) -> None:
        while True:
            line, written = self._out.get()
            self._put(line)
            self._call(written.set)

    def _put(self, line: bytes) -> None:
        view = memoryview(line)
        while view and not self._broken:
            try:
                view = view[os.write(self._sink, view) :]
            except OSError:  # the client closed our output and cannot be served
                self._broken = True
                self.end()


def _room_in_pipe(sink: int) -> Callable[[bytes], bool]:
    """Return a function that checks whether a pipe accepts a line without waiting.

    A writable pipe accepts PIPE_BUF bytes.
    """
    kind = os.fstat(sink).st_mode
    if sys.platform != "win32" and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        poll = select.poll()
        poll.register(sink, select.POLLOUT)
        return lambda line: len(line) <= select.PIPE_BUF and poll.poll(0) == [(sink, select.POLLOUT)]
    return lambda _line: False


def _split(source: int) -> Iterator[bytes | None]:
    """Yield the lines of a pipe as they arrive. Yield None instead of each line that is too long.

    Lines that are too long are skipped in bounded memory.
    """
    pending, skipping = bytearray(), False
    while chunk := os.read(source, _CHUNK):
        pending += chunk
        start = 0
        while (end := pending.find(b"\n", start)) >= 0:
            yield None if skipping or end - start > LINE_LIMIT else bytes(pending[start:end])
            skipping, start = False, end + 1
        del pending[:start]
        if len(pending) > LINE_LIMIT:
            pending.clear()
            skipping = True
    if pending or skipping:
        yield None if skipping else bytes(pending)


class Front:
    """Runs one SDK server on this process's standard input and output.

    `on_end` is called when the shutdown begins. It should end the calls that wait for the person.
    """

    def __init__(self, server: Server[Any], on_end: Callable[[], None]) -> None:
        self._server = server
        self._on_end = on_end
        self._unanswered: Counter[str | int] = Counter()
        self._progress = anyio.Event()

    async def run(self) -> None:
        """Serve until the input ends, a signal comes or the client closes the output."""
        with _taken_streams() as (source, sink):
            wire = _Wire(source, sink, get_running_loop())
            _let_signals_end(wire)
            wire.start()
            await self._serve(wire)

    async def _serve(self, wire: _Wire) -> None:
        to_server, from_front = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_front, from_server = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pump_out, wire, from_server)
            tasks.start_soon(self._pump_in, wire, to_server)
            tasks.start_soon(self._server.run, from_front, to_front, self._server.create_initialization_options())
            await wire.ended.wait()
            await self._finish(wire)
            tasks.cancel_scope.cancel()

    async def _finish(self, wire: _Wire) -> None:
        """Wait for the answers to open requests, for at most `GRACE_SECONDS`."""
        self._on_end()
        with anyio.move_on_after(GRACE_SECONDS):
            while wire.lines.statistics().current_buffer_used or self._unanswered.total():
                self._progress = anyio.Event()
                await self._progress.wait()

    async def _pump_in(self, wire: _Wire, to_server: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        async for line in wire.lines:
            message = TOO_LONG if line is None else parse_line(line)
            if isinstance(message, BadLine):
                await wire.write(message.reply)
            elif message is not None:
                self._note_question(message)
                await to_server.send(SessionMessage(message))
            wire.taken()
            self._progress.set()

    async def _pump_out(self, wire: _Wire, from_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async for item in from_server:
            message = _without_echo(item.message).model_dump_json(by_alias=True, exclude_unset=True)
            await wire.write(message.encode("utf-8"))
            self._note_answer(item.message)
            self._progress.set()

    def _note_question(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCRequest):
            self._unanswered[message.id] += 1
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            # A cancelled request gets no answer.
            self._forget((message.params or {}).get("requestId"))

    def _note_answer(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._forget(message.id)

    def _forget(self, request_id: object) -> None:
        if isinstance(request_id, str | int) and self._unanswered[request_id] > 0:
            self._unanswered[request_id] -= 1


def _without_echo(message: JSONRPCMessage) -> JSONRPCMessage:
    """Remove an unknown method's name from the SDK's error, because replies never repeat a message's content."""
    if isinstance(message, JSONRPCError) and message.error.code == METHOD_NOT_FOUND:
        return JSONRPCError(
            jsonrpc="2.0", id=message.id, error=ErrorData(code=METHOD_NOT_FOUND, message="Method not found")
        )
    return message


@contextmanager
def _taken_streams() -> Iterator[tuple[int, int]]:
    """Reserve standard input and output for MCP messages.

    Other code that reads standard input gets no data, and its prints go to standard error.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    try:
        yield source, sink
    finally:
        # The reading thread may still use `source`, so both descriptors stay open until the process ends.
        os.dup2(sink, 1)


def _let_signals_end(wire: _Wire) -> None:
    """Let SIGINT, SIGTERM and SIGHUP begin the shutdown, as the end of the input does. The shutdown is brief."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: wire.end())
    if sys.platform != "win32":  # on Windows the loop does this itself
        # A signal that reaches another thread must wake this thread, which runs the handlers.
        woken, wakes = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakes, False)
        get_running_loop().add_reader(woken, os.read, woken, _CHUNK)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
