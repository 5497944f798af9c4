"""Where things live for this person, and how the command line is called here.

Always: nothing is created.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import platformdirs

from claude_secrets.errors import CallerError, Code

APPLICATION = "claude-secrets"


STORE = "secrets.db"


class OwnDirectories(NamedTuple):
    """Where the person's own files are: in the account's directory, and in the environment's if that is another one."""

    account: Path
    environment: Path | None = None

    def all(self) -> tuple[Path, ...]:
        """The directories that are read."""
        return (self.account,) if self.environment is None else (self.account, self.environment)


def default_store() -> Path:
    """The store that is used if nothing names one: in the data directory that the environment tells."""
    return Path(platformdirs.user_data_path(APPLICATION, appauthor=False)) / STORE


def usual_store(configured: Path | None) -> Path:
    """The store that people know as theirs: the `configured` one of the account's file, else by the account's home."""
    if sys.platform == "win32":  # no environment moves the data directory there
        return configured or default_store()
    return configured or _of_account(".local/share") / STORE


def is_usual(store: Path, configured: Path | None) -> bool:
    """Whether a store is that one."""
    return same(store, usual_store(configured))


def config_directory() -> Path:
    """The directory of the person's own files (`policy.yml`) that the environment tells."""
    return Path(platformdirs.user_config_path(APPLICATION, appauthor=False))


def own_directories() -> OwnDirectories:
    """The directories of the person's own files: what sets HOME or XDG_CONFIG_HOME must not replace the account's."""
    environment = config_directory()
    if sys.platform == "win32":  # as for the store
        return OwnDirectories(environment)
    account = _of_account(".config")
    return OwnDirectories(account, None if same(account, environment) else environment)


def same(path: Path, other: Path) -> bool:
    """Whether both lead to one place, which need not be there yet."""
    if path == other:
        return True
    with suppress(OSError, ValueError):
        return path.samefile(other)
    with suppress(OSError, ValueError):
        return os.path.realpath(path) == os.path.realpath(other)
    return False


def _of_account(directory: str) -> Path:
    return account_home() / ("Library/Application Support" if sys.platform == "darwin" else directory) / APPLICATION


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


def command() -> str:
    """How a person calls this program here: what the hints in messages begin with."""
    return shlex.join(command_words())


@cache
def command_words() -> tuple[str, ...]:
    """The words with which a person, or a client's configuration, starts this program here."""
    if "/uv/" in Path(sys.prefix).as_posix() and "archive-v0" in Path(sys.prefix).as_posix():
        source = _source()
        return ("uvx", APPLICATION) if source is None else ("uvx", "--from", source, APPLICATION)
    if Path(sys.argv[0]).name == "__main__.py":
        return ("python", "-P", "-m", "claude_secrets")
    return (APPLICATION,)


def _source() -> str | None:
    """The checkout or repository that this was installed from; None if it came from a package index.

    The file is specified at https://packaging.python.org/en/latest/specifications/direct-url/. Without the source a
    hint would name whatever package has this name on an index.
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    try:
        found = json.loads(distribution(APPLICATION).read_text("direct_url.json") or "{}")
        url = found.get("url")
        if url is None:
            return None
        if vcs := found.get("vcs_info"):
            return f"{vcs['vcs']}+{url}"
        return url2pathname(url.removeprefix("file://")) if url.startswith("file://") else str(url)
    except (PackageNotFoundError, ValueError, KeyError, AttributeError):  # a broken installation
        return None
