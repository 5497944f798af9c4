"""The real server under any bytes: it answers each line as JSON-RPC, keeps its secret, and goes on."""

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
    """The lines of `data`, and a ping after them that has to be answered."""
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
    """One server for all inputs, with a secret that no project of its may have."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    machine = Machine(root).use_key_file()
    machine.run("set", "FOREIGN", at=machine.project("elsewhere"), stdin=CANARY)
    server = machine.server(machine.project("here"))
    atexit.register(server.close)
    return server
