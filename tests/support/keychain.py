"""A keychain for tests on every POSIX system: a stand-in for `/usr/bin/security`, with its items and its runs.

The real program needs a Mac. See `tests.support.stand_in_security` for the facts that the stand-in takes over.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOOL = "security"
"""The maker of items that the stand-in added."""

PYTHON = "the keyring package"
"""The maker of items of earlier versions. `security` reads such an item only with a dialog."""


class StandInKeychain:
    """The stand-in in one directory. `program` is the executable file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.program = directory / "security"
        code = Path(__file__).with_name("stand_in_security.py").read_text(encoding="utf-8")
        self.program.write_text(f"#!{sys.executable} -IS\n{code}")
        self.program.chmod(0o700)
        state = {"items": {}, "locked": 0, "a person answers": True, "drops writes": False, "dialogs": 0, "runs": 0}
        self._write({**state, "fault": [""]})

    def set(self, **changes: object) -> None:
        """Change the state. An underscore in a name means a blank."""
        self._write(self.state | {name.replace("_", " "): value for name, value in changes.items()})

    def put(self, service: str, account: str, password: str, *, maker: str = PYTHON) -> None:
        self.set(items={**self.state["items"], f"{service}\n{account}": {"password": password, "maker": maker}})

    @property
    def state(self) -> dict[str, Any]:
        state = json.loads((self.directory / "state.json").read_text())
        assert isinstance(state, dict)
        return state

    def items(self) -> dict[tuple[str, str], str]:
        """Return the password of each item, by service and account."""
        return {self._split(name): item["password"] for name, item in self.state["items"].items()}

    def makers(self) -> dict[tuple[str, str], str]:
        return {self._split(name): item["maker"] for name, item in self.state["items"].items()}

    def runs(self) -> list[Mapping[str, Any]]:
        """Return how the program was run: its arguments, environment, standard input, directory and session."""
        recorded = self.directory / "runs.jsonl"
        return [json.loads(line) for line in recorded.read_text().splitlines()] if recorded.exists() else []

    def commands(self) -> list[str]:
        """Return the first word of each command that was run."""
        return [run["stdin"].split()[0].strip('"') for run in self.runs()]

    def _write(self, state: Mapping[str, object]) -> None:
        (self.directory / "state.json").write_text(json.dumps(state))

    @staticmethod
    def _split(name: str) -> tuple[str, str]:
        service, account = name.split("\n")
        return service, account
