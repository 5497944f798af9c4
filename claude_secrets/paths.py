"""Where things live for this person, and how the command line is called here.

Always: nothing is created. Anyone may import it.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import platformdirs

from claude_secrets.errors import CallerError, Code

APPLICATION = "claude-secrets"


def default_store() -> Path:
    """The store's usual path, in the user's data directory."""
    return Path(platformdirs.user_data_path(APPLICATION, appauthor=False)) / "secrets.db"


def config_directory() -> Path:
    """The directory of the person's own files (`policy.yml`)."""
    return Path(platformdirs.user_config_path(APPLICATION, appauthor=False))


def store_path(argument: str | None, environment: Mapping[str, str], configured: Path | None) -> Path:
    """The store to use: `--store`, else `CLAUDE_SECRETS_STORE`, else `config.yml`'s, else the usual path."""
    if argument == "":  # a variable that was not set, maybe: surely not the usual store
        raise CallerError(Code.INVALID_ARGUMENTS, "--store names no file.")
    chosen = argument or environment.get("CLAUDE_SECRETS_STORE") or ""
    return expanded(chosen) if chosen else configured or default_store()


def expanded(text: str) -> Path:
    """The absolute path that a person names, with `~` for a home.

    Raises:
        CallerError: INVALID_ARGUMENTS where that is nobody's home, or nothing.
    """
    if not text:
        raise CallerError(Code.INVALID_ARGUMENTS, "A path is empty.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise CallerError(Code.INVALID_ARGUMENTS, "A path begins with the home of somebody who is not there.") from None


def working_directory() -> Path:
    """The working directory; where it was deleted the root, in which there is no project."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.sep)


def account_home() -> Path:
    """The home of the account: on POSIX the user database's, for a client can set HOME."""
    if sys.platform != "win32":
        import pwd

        with suppress(KeyError):  # a container's user without an entry: HOME is all there is
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path.home()


def home_directories() -> frozenset[Path]:
    """The person's home as the environment tells it, and the account's."""
    return frozenset(home.resolve() for home in (Path.home(), account_home()))


def in_own_terminal(directory: Path | str, words: str) -> str:
    """How a hint that an agent may read first tells the person what to type."""
    typed = f"cd {shlex.quote(str(directory))} && {command()} {words}"
    return f"not with `!` and not through the agent; in another terminal type exactly: {typed}"


@cache
def command() -> str:
    """How a person calls this program here: what the hints in messages begin with."""
    if "/uv/" in Path(sys.prefix).as_posix() and "archive-v0" in Path(sys.prefix).as_posix():
        return "uvx claude-secrets"
    if Path(sys.argv[0]).name == "__main__.py":
        return "python -m claude_secrets"
    return APPLICATION
