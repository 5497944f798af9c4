"""Runs the program in processes that are forked from one process, which has imported all of the program before.

Starting Python and importing the program takes most of a command's time. A forked process saves that time, and still
has its own session, arguments, directory, environment and standard streams. A command's streams are files, not pipes.
"""

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

assert sys.platform != "win32"

_IMPORTED_LATE = ("ahocorasick_rs", "claude_secrets.cli.main", "dotenv", "yaml")
"""Further modules that many commands import."""
_OF_SERVERS = "claude_secrets.server.app"
"""The module that imports all that only servers need, which takes as long as a test. It is imported for the first."""


class ForkedProcess:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None

    def __init__(self, program: "ForkedProgram", pid: int) -> None:
        self._program = program
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._program.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            if sys.platform == "linux":
                process = os.pidfd_open(self.pid)
                select.select([process], [], [], timeout)
                os.close(process)
            else:
                time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedProgram:
    """The process that is forked. It ends when its socket is closed."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._asking = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(deadline)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._process.wait()

    def ask(self, question: object, streams: Sequence[int] = ()) -> int | None:
        """Send a request to the process, with descriptors, and return the answer."""
        with self._asking, tempfile.TemporaryFile() as file:
            file.write(json.dumps(question).encode())
            file.seek(0)
            socket.send_fds(self._socket, [b"!"], [file.fileno(), *streams])
            answer: int | None = json.loads(self._socket.recv(99))
            return answer

    def start(
        self, command: Sequence[str], at: Path, environment: Mapping[str, str], streams: Sequence[int], *, session: bool
    ) -> ForkedProcess:
        """Start the program on the three streams, in a session of its own or in the process's."""
        pid = self.ask({"run": [list(command), str(at), dict(environment), session]}, streams)
        assert pid is not None
        return ForkedProcess(self, pid)

    def run(
        self, command: Sequence[str], at: Path, environment: Mapping[str, str], stdin: str | None
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end, and return its exit code and its output."""
        with (
            tempfile.TemporaryFile() if stdin is not None else Path(os.devnull).open("rb") as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            if stdin is not None:
                given.write(stdin.encode())
                given.seek(0)
            streams = [file.fileno() for file in (given, out, err)]
            process = self.start(command, at, environment, streams, session=True)
            try:
                code = process.wait(self._deadline)
            finally:
                process.kill()
            return subprocess.CompletedProcess(command, code, _text(out), _text(err))

    def serve(self, command: Sequence[str], at: Path, environment: Mapping[str, str]) -> ForkedProcess:
        """Start the program on pipes."""
        (stdin, given), (shown, stdout), (told, stderr) = os.pipe(), os.pipe(), os.pipe()
        process = self.start(command, at, environment, [stdin, stdout, stderr], session=False)
        for each in (stdin, stdout, stderr):
            os.close(each)
        process.stdin, process.stdout, process.stderr = open(given, "wb"), open(shown, "rb"), open(told, "rb")  # noqa: SIM115, PTH123  descriptors that the caller closes
        return process


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n").replace("\r", "\n")  # as `subprocess` does


def _answer(requests: socket.socket) -> None:
    """Answer every request, until the socket is closed. Return only in a forked process, which runs the program."""
    while True:
        _, descriptors, _, _ = socket.recv_fds(requests, 1, 4)
        if not descriptors:
            sys.exit()
        with os.fdopen(descriptors[0], "rb") as file:
            request = json.load(file)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            if not request["run"][-1] and _OF_SERVERS not in sys.modules:
                importlib.import_module(_OF_SERVERS)
                gc.freeze()
            answer = os.fork()
            if answer == 0:
                requests.close()
                return _become(descriptors[1:], *request["run"])
            for each in descriptors[1:]:
                os.close(each)
        requests.send(json.dumps(answer).encode())


def _become(
    streams: Sequence[int], command: list[str], directory: str, environment: Mapping[str, str], session: bool
) -> None:
    if session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command[2:]  # after the interpreter and its option
    # The former streams still count as what they were before, such as a file in which one can seek.
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115  for the rest of the process


def _main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.support import program

    del sys.path[0]  # from here on, as where the program is started
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        requests.set_inheritable(False)
        from claude_secrets.cli import commands

        for module in pkgutil.iter_modules(commands.__path__):
            importlib.import_module(f"{commands.__name__}.{module.name}")
        for name in _IMPORTED_LATE:
            importlib.import_module(name)
        gc.freeze()
        _answer(requests)
    program.main()


if __name__ == "__main__":
    _main()
