"""Programs and scripts with which an agent that has a shell tries to pass for the person."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.requirements import require

UV = Path(sys.executable).with_name("uv")

CLIENT = """
import os, subprocess, sys
mark, server, shell, script = sys.argv[1:5]
if server:
    started = subprocess.Popen(server.split('|'), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\\n')
    started.stdin.flush()
    assert started.stdout.readline()
    if os.environ.get("KILL_SERVER"):
        started.kill()
        started.communicate()
marked = {**os.environ, mark: "1"} if mark else os.environ
done = subprocess.run([shell, "-c", script], env=marked, start_new_session=True)
if server and not os.environ.get("KILL_SERVER"):
    started.communicate()
sys.exit(done.returncode)
"""
"""A client: it stays in its project's directory, starts our server, and runs its agent's script in a marked shell with
a session of its own. Arguments: the mark, the server's words with | between them (or nothing), the shell, the
script."""

ANSWERS_ITSELF = """
import json, os, subprocess, sys
names, words = sys.argv[1].split(","), sys.argv[2:]
server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

def say(**message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\\n")
    server.stdin.flush()

say(id=1, method="initialize", params={
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {"form": {}, "url": {}}},
    "clientInfo": {"name": "c", "version": "1"}})
say(method="notifications/initialized")
say(id=2, method="tools/call", params={"name": "input_secret", "arguments": {"name": "PAGE"}})
for number, name in enumerate(names):
    say(id=3 + number, method="tools/call", params={"name": "get_secret", "arguments": {"name": name}})
left = {*range(1, 3 + len(names))}
while left and (line := server.stdout.readline()):
    message = json.loads(line)
    if message.get("method", "").startswith("elicitation/"):
        print("asked", json.dumps(message["params"]))
        content = {"approve": True} if "requestedSchema" in message["params"] else None
        say(id=message["id"], result={"action": "accept", "content": content} if content else {"action": "decline"})
    elif message.get("id") in left:
        left.discard(message["id"])
        print(json.dumps(message.get("result")))
server.stdin.close()
server.wait()
"""
"""A client that answers yes to every question. Arguments: names with commas between them, the words of a server."""

_MESSAGES: tuple[dict[str, object], ...] = (
    {
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": {"form": {}}},
            "clientInfo": {"name": "c", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "get_secret", "arguments": {"name": "NAME"}}},
)
_LINES = " ".join(shlex.quote(json.dumps({"jsonrpc": "2.0", **message})) for message in _MESSAGES)
_YES = '{"jsonrpc": "2.0", "id": %s, "result": {"action": "accept", "content": {"approve": true}}}'

CONVERSATION = f"""
{{ printf '%s\\n' {_LINES}
  while read -r line; do
    case $line in
      *elicitation/create*)
        echo asked >&2; printf '{_YES}\\n' "$(printf '%s' "$line" | sed 's/.*"id":\\([0-9]*\\).*/\\1/')";;
      *'"id":2'*) printf '%s\\n' "$line" >&2; break;;
    esac
  done <OUT
}} >IN &
"""
"""A shell script that talks to a server through two named pipes, IN and OUT; the shell can then become that server."""


def agent_runs(
    machine: Machine,
    script: str,
    *,
    at: str = "a",
    marker: str = "CLAUDECODE",
    stdin: str = "",
    client: str = "runtime",
    server: Sequence[str] = (),
    shell: str = "bash",
    environment: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[str]:
    """Run a shell script as an agent in the project `at`, started by a client called `client`.

    In the script, `$cs` is the program.
    """
    here = f"b={shlex.quote(str(machine.home / 'work' / 'b'))} python={shlex.quote(sys.executable)} uv={UV}"
    prelude = f"cs={shlex.quote(shlex.join(PROGRAM))} {here}; export cs b python uv; "
    prelude += "setopt shwordsplit; " if shell == "zsh" else ""
    program = machine.home / client
    if not program.exists():
        program.symlink_to(sys.executable)
    return subprocess.run(
        [program, "-c", CLIENT, marker, "|".join(server), require(shell), prelude + script],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        cwd=machine.home / "work" / at,
        env={**machine.environment, **environment},
        check=False,
    )
