"""One person's home for a measurement: a store and a project that cannot reach the real home."""

import os
import random
import string
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from claude_secrets.keys.custody import Custody
from claude_secrets.model import EnteredBy
from claude_secrets.store import records
from claude_secrets.store.store import Store

PROGRAM = [str(Path(sys.executable).with_name("claude-secrets"))]
SERVER = [sys.executable, "-P", str(Path(__file__).parent.parent / "tests" / "support" / "program.py")]
"""Starts a server that does not record its client, because the same process also runs commands as the person."""

VISIBLE = [f"VISIBLE_{number}" for number in range(10)]
_LETTERS = string.ascii_letters + string.digits


class Home:
    """A home directory below `root` with `stored` secrets of 100 bytes; the project may use the secrets in `allow`.

    `keyring` is an environment that leads to a keyring. Without it, the key is in a file.
    """

    def __init__(self, root: Path, stored: int, *, allow: str, keyring: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.project = root / "work"
        self.store_path = root / ".local" / "share" / "claude-secrets" / "secrets.db"
        self.environment = {
            "HOME": str(root),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(root / "none"),
            **(keyring or {}),
        }
        (self.project / ".claude").mkdir(parents=True)
        (self.project / ".git").mkdir()
        (self.project / ".claude" / "secrets.yml").write_text(f"allow: {allow}\n")
        config = root / ".config" / "claude-secrets"
        config.mkdir(parents=True)
        (config / "policy.yml").write_text(
            'version: "1"\ndefault: allow\ntools:\n  set_secret: {rules: [{name: many, rate_limit: 1000000/minute}]}\n'
        )
        self._fill(stored, in_keyring=keyring is not None)

    def _fill(self, stored: int, *, in_keyring: bool) -> None:
        self.store_path.parent.mkdir(parents=True, mode=0o700)
        (self.root / "keys").mkdir()
        chosen = random.Random(stored)
        names = [*VISIBLE, *(f"SECRET_{number:06}" for number in range(stored - len(VISIBLE)))]
        store = Store(self.store_path, Custody(environment=dict(self.environment)), time.time)
        if not in_keyring:
            store.create_with_key_file(self.root / "keys" / "master.key")
        with closing(store), store.write() as tx:
            for name in names:
                records.put(
                    tx,
                    scope="shared",
                    name=name,
                    value=value(chosen),
                    origin=str(self.project.resolve()),
                    entered_by=EnteredBy.PERSON,
                )


def value(chosen: random.Random) -> str:
    """Return a value of 100 bytes."""
    return "".join(chosen.choices(_LETTERS, k=100))
