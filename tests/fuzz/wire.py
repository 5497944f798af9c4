"""The real server with any bytes as input: it answers each line in JSON-RPC, reveals no secret, and keeps running."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from tests.support.machine import Machine, Wire

CANARY: Final = "canary-value-of-a-secret"
_numbers: Final = count()


def wire(data: bytes) -> None:
    """Send the lines of `data` and then a ping, and check that the server answers the ping."""
    server = _server()
    asked = f"after-{next(_numbers)}"
    ping = json.dumps({"jsonrpc": "2.0", "id": asked, "method": "ping"}).encode()
    server.send_line(data + b"\n" + ping + b"\n")
    said = len(server.said)
    while (message := server.receive()).get("id") != asked:
        assert message["jsonrpc"] == "2.0"
        assert {"result", "error", "method"} & set(message)
    assert "result" in message
    assert not server.stderr
    assert not any(CANARY.encode() in line for line in server.said[said:])
    server.said.clear()


@cache
def _server() -> Wire:
    """Start one server for all inputs. Its store has a secret that its project may not use."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    machine = Machine(root).use_key_file()
    machine.run("set", "FOREIGN", at=machine.project("elsewhere"), stdin=CANARY)
    server = machine.server(machine.project("here"))
    atexit.register(server.close)
    return server
