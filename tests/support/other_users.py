"""Other users of the machine: real programs that run with another user id, and their client of the one-time page.

The users have no accounts and need none. Without root, tests need `sudo -n` to run them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.support.posix import is_root, user
from tests.support.requirements import require, require_real

STRANGER = 54321
FRIEND = 54322
"""A user id that a test uses as the person's own."""
ROOT = 0

DEADLINE = 60.0

_PYTHON = str(next(path for path in (Path("/usr/bin/python3"), Path(sys.executable).resolve()) if path.exists()))
"""The system's Python, if there is one. Other users may not enter the directory of the Python that runs the tests."""

_CLIENT = """
import errno, json, socket, struct, sys
port, data, how, mapped, times = json.loads(sys.argv[1])
answers = []
for _ in range(times):
    with socket.socket(socket.AF_INET6 if mapped else socket.AF_INET) as client:
        client.settimeout(20)
        answer = b""
        try:
            client.connect(("::ffff:127.0.0.1" if mapped else "127.0.0.1", port))
            client.sendall(data.encode("latin-1"))
            if how == "half-closed":
                client.shutdown(socket.SHUT_WR)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            while how in ("open", "half-closed") and (part := client.recv(65536)):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # it has been reset
                raise
    answers.append(answer.decode("latin-1"))
print(json.dumps(answers))
"""

FLOOD = """
import os, socket, struct, sys, threading
port, data = int(sys.argv[1]), sys.argv[2].encode("latin-1")
made = [0]
def silent():
    held = []
    while True:
        try:
            held.append(socket.create_connection(("127.0.0.1", port), 20))
            del held[:-200]
        except OSError:
            pass
def visit():
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as client:
                client.sendall(data)
        except OSError:
            pass
        made[0] += 1
        if made[0] % 100 == 0:
            print(made[0], flush=True)
for work in (silent, visit, visit, visit):
    threading.Thread(target=work, daemon=True).start()
sys.stdin.read()
os._exit(0)
"""


def as_user(number: int, *command: str) -> list[str]:
    """Return the command line that runs `command` with a user id; skip the running test if that is not possible."""
    if number == user():
        return list(command)
    path = require("setpriv")
    require_real(_can_become_others(path), "other users (root, or sudo without a password)")
    return [*_rights(), path, f"--reuid={number}", f"--regid={number}", "--clear-groups", "--", *command]


def python_as(number: int, script: str, *arguments: str) -> list[str]:
    """Return the command line that runs a Python script, which uses only the standard library, with a user id."""
    return as_user(number, _PYTHON, "-I", "-S", "-c", script, *arguments)


def talk(number: int, port: int, data: bytes, *, how: str = "open", mapped: bool = False, times: int = 1) -> list[str]:
    """Send `data` to a port of 127.0.0.1 as the user with that id, and return each answer.

    `how` says what happens to the connection after the data: it stays `open` or `half-closed` until the answer has
    come, or it is `closed` or `reset` at once. With `mapped`, the connection uses an IPv6 socket.
    """
    told = json.dumps([port, data.decode("latin-1"), how, mapped, times])
    done = subprocess.run(
        python_as(number, _CLIENT, told), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=DEADLINE,
        cwd="/",
    )  # fmt: skip
    answers = json.loads(done.stdout)
    assert isinstance(answers, list)
    return answers


def _rights() -> Sequence[str]:
    return [] if is_root() else [shutil.which("sudo") or "", "-n"]


@cache
def _can_become_others(setpriv: str) -> bool:
    if not is_root() and shutil.which("sudo") is None:
        return False
    words = [*_rights(), setpriv, f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    done = subprocess.run(
        [*words, _PYTHON, "-I", "-S", "-c", "import socket"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0
