"""Programs and scripts with which an agent that has a shell tries to pass for the person."""

import json
import shlex

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
