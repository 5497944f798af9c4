"""Events of Claude Code for tests of hooks, and values to look for in them."""

import base64
import json
import shutil
import sqlite3
from contextlib import closing
from typing import Any

from tests.support.machine import Machine

VALUE = "canary/" + "q7Rt+" * 9
KEPT = "canary-kept-0123456789"
SHORT = "canary-short"
OTHERS = "canary-of-another-project"
STOPPING_NOTHING = ["session-start", "user-prompt-submit", "pre-tool-use"]
EVENTS = [*STOPPING_NOTHING, "post-tool-use", "post-tool-use-failure"]
UNREADABLE = ["", "{", "[]", "null", VALUE]


def hook(machine: Machine, event: str, *, at: str = "a", **fields: object) -> dict[str, Any]:
    """Send an event and return the answer; {} if there is none."""
    told = {"session_id": "s", "cwd": str(machine.home / "work" / at), "hook_event_name": event, **fields}
    done = machine.run("hook", event, stdin=json.dumps(told))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout) if done.stdout else {}


def broken(machine: Machine, what: str) -> tuple[dict[str, str], list[str]]:
    """Break one part of the machine. Return the environment and the options with which a command meets that fault."""
    environment: dict[str, str] = {}
    options: list[str] = []
    match what:
        case "key":
            machine.key_file.unlink()
        case "another key":
            machine.key_file.write_bytes(base64.urlsafe_b64encode(bytes(32)) + b"\n")
        case "store":
            machine.store.write_bytes(b"x" * 4096)
        case "row":
            with closing(sqlite3.connect(machine.store, isolation_level=None)) as store:
                store.execute("DELETE FROM versions")
        case "config.yml":
            machine.configure("trust: [")
        case "inside":
            inside = machine.home / "work" / "a" / "secrets.db"
            shutil.copy(machine.store, inside)
            environment["CLAUDE_SECRETS_STORE"] = str(inside)
        case "option":
            environment["CLAUDECODE"] = "1"
            options = ["--store", str(machine.store)]
    return environment, options
