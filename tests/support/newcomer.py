"""A person who has just installed the program from a checkout with uv, on a machine with real MCP clients.

The person has a new home, a real keyring, and the environment of a login shell. The user database still names the
developer's home. So a stand-in for it in the installation's own Python names the new home.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from claude_secrets.version import __version__
from tests.support.agent_shells import UV
from tests.support.requirements import require, require_real
from tests.support.terminals import Running

CHECKOUT = Path(__file__).parents[2]
DEADLINE = 120.0
CLIENTS = ("claude", "codex", "gemini")

_DEVELOPERS = {**os.environ}
"""uv needs the developer's cache and package index. Fixtures hide both later."""

_LAST_WORDS = "uninstall --undo\n"
"""The end of what `setup` shows."""

_QUESTION = r"\[Y/n\] |\(empty: .*\): |written the code down\. "

_USER_DATABASE = """
import pwd
found = pwd.getpwuid
def getpwuid(number):
    fields = list(found(number))
    fields[5] = {home!r}
    return pwd.struct_passwd(fields)
pwd.getpwuid = getpwuid
"""


class Screenplay(NamedTuple):
    """What the terminal showed, the exit code, and the seconds that a command took."""

    shown: str
    code: int
    seconds: float


class Newcomer:
    """The person's home, environment and commands. `root` is a new directory."""

    def __init__(self, root: Path, keyring: Mapping[str, str]) -> None:
        self.home, self.project, programs = root / "home", root / "home" / "work" / "api", root / "programs"
        self.project.mkdir(parents=True)
        programs.mkdir()
        for name in (*CLIENTS, "node"):
            (programs / name).symlink_to(require(name))
        self.tools, self.program = root / "tools", root / "bin" / "claude-secrets"
        self.environment = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "LOGNAME": "newcomer",
            "PATH": f"{self.program.parent}:{programs}:/usr/local/bin:/usr/bin:/bin",
            "SHELL": "/bin/sh",
            "TERM": "xterm",
            "USER": "newcomer",
            **keyring,
        }

    def install(self, version: str = __version__) -> float:
        """Run `uv tool install .` in a copy of the checkout, as README says, and return the seconds.

        With another version, it replaces the installation.
        """
        require_real(UV.exists(), "uv")
        source = self.tools.with_name(f"source-{version}")
        source.mkdir()
        shutil.copytree(CHECKOUT / "claude_secrets", source / "claude_secrets")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(CHECKOUT / name, source)
        (source / "claude_secrets" / "version.py").write_text(f'"""The version."""\n\n__version__ = "{version}"\n')
        places = {"UV_TOOL_DIR": str(self.tools), "UV_TOOL_BIN_DIR": str(self.program.parent)}
        begun = time.monotonic()
        done = subprocess.run(
            [UV, "tool", "install", "."],
            cwd=source,
            env={**_DEVELOPERS, **places},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        seconds = time.monotonic() - begun
        require_real(done.returncode == 0, "a package index that uv can reach")
        (packages,) = self.tools.glob("claude-secrets/lib/python*/site-packages")
        (packages / "tests_user_database.py").write_text(_USER_DATABASE.format(home=str(self.home)))
        (packages / "tests_user_database.pth").write_text("import tests_user_database\n")
        self.version = version
        return seconds

    def moved(self, root: Path) -> Self:
        """Return the same person with a new home and the same installation."""
        other = copy.copy(self)
        other.home, other.project = root / "home", root / "home" / "work" / "api"
        other.project.mkdir(parents=True)
        other.environment = {**self.environment, "HOME": str(other.home)}
        other.trust(other.project)
        return other

    def run(
        self, *words: str, at: Path | None = None, environment: Mapping[str, str] = {}, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal to its end, and check its exit code."""
        done = subprocess.run(
            words,
            cwd=at or self.project,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            start_new_session=True,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def set_up(self) -> Screenplay:
        """Run `claude-secrets setup` on a terminal, and type Enter at each question."""
        begun, shown = time.monotonic(), ""
        with Running([str(self.program), "setup"], self.project, self.environment, columns=80) as terminal:
            while not shown.endswith(_LAST_WORDS):
                shown += terminal.see(rf"{_QUESTION}|\n")
                if re.search(rf"(?:{_QUESTION})\Z", shown):
                    terminal.type("\n")
            code = terminal.ended()
        return Screenplay(shown, code, time.monotonic() - begun)

    def trust(self, directory: Path) -> None:
        """Trust a directory in Gemini CLI, as its question does, and let it use an API key there."""
        folders = self.home / ".gemini" / "trustedFolders.json"
        folders.parent.mkdir(exist_ok=True)
        trusted = json.loads(folders.read_text()) if folders.exists() else {}
        folders.write_text(json.dumps({**trusted, str(directory): "TRUST_FOLDER"}))
        settings = directory / ".gemini" / "settings.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))

    def type(self, *arguments: str, answers: Sequence[tuple[str, str]] = ()) -> str:
        """Run one of our commands on a terminal, answer its questions, and return what it showed."""
        with Running([str(self.program), *arguments], self.project, self.environment, columns=200) as terminal:
            shown = ""
            for question, answer in answers:
                shown += terminal.see(question)
                terminal.type(f"{answer}\n")
            assert terminal.ended() == 0, terminal.shown
            return shown + terminal.shown
