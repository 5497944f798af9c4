"""The command with which a client starts this server, and how to recognise such a command in a client's configuration.

Always: the command is an absolute path, because a client may search another PATH than the person's shell.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.paths import APPLICATION, command_words, expanded
from claude_secrets.programs import named

PATHS: Final = ("CLAUDE_SECRETS_STORE", "CLAUDE_SECRETS_KEY_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
"""The variables among `CARRIED` that name a file or directory."""

CARRIED: Final = (*PATHS, "CLAUDE_SECRETS_TRUST", "PYTHON_KEYRING_BACKEND")
"""The variables that decide which store and key the person's commands use. Many clients do not pass these on."""

_MODULE: Final = APPLICATION.replace("-", "_")
_ENDING: Final = re.compile(r"\.(exe|cmd|bat)$", re.IGNORECASE)
_LAUNCHERS: Final = re.compile(r"uvx?|pipx|py|python[0-9.]*w?", re.IGNORECASE)
_WRAPPERS: Final = re.compile(
    "wsl|docker|podman|ssh|cmd|powershell|pwsh|sh|bash|dash|zsh|fish|env|sudo|flatpak-spawn|distrobox(-enter)?|toolbox|nix",
    re.IGNORECASE,
)
_WITH_VALUE: Final = frozenset({"--from", "--with", "--spec", "--directory", "--python", "-p"})
"""The options of launchers whose value can be a path or a package with this program's name."""


class Program(NamedTuple):
    """The command, its arguments, and the variables that a client must add to the server's environment."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}

    @property
    def words(self) -> tuple[str, ...]:
        """The command and its arguments."""
        return (self.command, *self.arguments)

    @property
    def is_cached(self) -> bool:
        """Whether the command is uvx, which may need the network at each start."""
        return _name(self.command) == "uvx"


def installed(environment: Mapping[str, str], *, started_as: str | None = None) -> Program:
    """Return the command that starts this installation. `started_as` is the path of the running script (`argv[0]`)."""
    words = command_words()
    added = {name: environment[name] for name in CARRIED if environment.get(name)}
    # A client starts the server in another directory than this one.
    added |= {name: str(expanded(value)) for name, value in added.items() if name in PATHS}
    if words[0] == "uvx":
        return Program(_uvx(environment), words[1:], added)
    script = _script(Path(sys.argv[0] if started_as is None else started_as), environment)
    if words[0] == APPLICATION and script is not None:
        return Program(str(script), (), added)
    return Program(sys.executable, ("-P", "-m", _MODULE), added)


def own_arguments(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the arguments that a command passes to this program. Return None if it does not start this program.

    The command is this program itself, or a launcher (uvx, `uv tool run`, pipx, Python) that starts it.
    """
    if not words:
        return None
    if _name(words[0]) == APPLICATION:
        return tuple(words[1:])
    if not _LAUNCHERS.fullmatch(_name(words[0])):
        return None
    is_python = _name(words[0]).startswith("py")
    for number, word in enumerate(words[1:], 1):
        is_value = words[number - 1] in _WITH_VALUE
        is_module = words[number - 1] == "-m" and word == _MODULE
        is_package = not is_value and word.partition("@")[0] == APPLICATION and not is_python
        if is_module or is_package:
            return tuple(words[number + 1 :])
    return None


def is_wrapped(words: Sequence[str]) -> bool:
    """Return whether a command starts this program through a shell, or in another system such as WSL or a container.

    Other programs can have this program's name in their arguments, too: a server for files can serve its sources.
    """
    named_here = any(_name(part) == APPLICATION for word in words[1:] for part in word.split())
    return bool(words) and _WRAPPERS.fullmatch(_name(words[0])) is not None and named_here


def _name(command: str) -> str:
    name = re.split(r"[\\/]", command)[-1]
    return _ENDING.sub("", name.lower() if sys.platform == "win32" or _ENDING.search(name) else name)


def _script(started_as: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the absolute path of the script that runs, with links unresolved, because upgrades change links."""
    for path in (started_as, started_as.with_name(f"{started_as.name}.exe")):
        if _name(path.name) == APPLICATION and path.is_file():
            return path.absolute()
    found = named(APPLICATION, environment)  # on Windows never from the working directory, unlike `shutil.which`
    return None if found is None else Path(found).absolute()


def _uvx(environment: Mapping[str, str]) -> str:
    """Return the path of uvx. uv sets the variable UV to its own path, and uvx is in the same directory."""
    if own := environment.get("UV"):
        for name in ("uvx", "uvx.exe"):
            if (path := Path(own).with_name(name)).is_file():
                return str(path.absolute())
    return named("uvx", environment) or "uvx"
