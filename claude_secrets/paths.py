"""Find the person's files, and the command with which the person runs this program.

Always: this module creates no files or directories.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import platformdirs

from claude_secrets.errors import CallerError, Code
from claude_secrets.shell_words import joined, quoted
from claude_secrets.true_names import true_path
from claude_secrets.windows_profile import profile_directory

APPLICATION = "claude-secrets"

STORE = "secrets.db"

_IN_PROFILE = ".claude-secrets"
"""The directory in the Windows profile. A store in AppData would be private to packaged clients (`windows_package`)."""


class OwnDirectories(NamedTuple):
    """The directories of the person's own files.

    `account` is in the account's home. `environment` is the directory that the environment sets, or None if it is the
    same.
    """

    account: Path
    environment: Path | None = None

    def all(self) -> tuple[Path, ...]:
        """Return all directories from which the person's own files are read."""
        return (self.account,) if self.environment is None else (self.account, self.environment)


def default_store() -> Path:
    """Return the path of the default store, which is in the data directory that the environment sets."""
    if sys.platform == "win32":
        return home() / _IN_PROFILE / STORE
    else:
        return Path(platformdirs.user_data_path(APPLICATION, appauthor=False)) / STORE


def usual_store(configured: Path | None) -> Path:
    """Return the path of the usual store, which the environment cannot change.

    This is `configured`, the path in the account's own `config.yml`. If `config.yml` sets no path, the usual store is
    at the default path in the account's home.
    """
    return configured or _of_account(".local/share") / STORE


def is_usual(store: Path, configured: Path | None) -> bool:
    """Whether `store` leads to the usual store."""
    return same(store, usual_store(configured))


def config_directory() -> Path:
    """Return the directory that the environment sets for the person's own files, such as `policy.yml`."""
    if sys.platform == "win32":
        return home() / _IN_PROFILE
    else:
        return Path(platformdirs.user_config_path(APPLICATION, appauthor=False))


def own_directories() -> OwnDirectories:
    """Return the directories of the person's own files.

    HOME, USERPROFILE and XDG_CONFIG_HOME can add a directory, but they cannot replace the account's directory.
    """
    account, environment = _of_account(".config"), config_directory()
    return OwnDirectories(account, None if same(account, environment) else environment)


def same(path: Path, other: Path) -> bool:
    """Whether both paths lead to the same file or directory, which need not exist yet."""
    if path == other:
        return True
    with suppress(OSError, ValueError):
        return path.samefile(other)
    with suppress(OSError, ValueError):
        return true_path(path) == true_path(other)
    return False


def _of_account(directory: str) -> Path:
    if sys.platform == "win32":
        return account_home() / _IN_PROFILE
    else:
        support = "Library/Application Support" if sys.platform == "darwin" else directory
        return account_home() / support / APPLICATION


def store_path(argument: str | None, environment: Mapping[str, str], configured: Path | None) -> Path:
    """Return the path of the store to use.

    The path comes from `--store`, else from `CLAUDE_SECRETS_STORE`, else from `config.yml`. If none of them names a
    store, the default store is used.

    Raises:
        CallerError: INVALID_ARGUMENTS if `--store` is empty, or for the same reasons as `expanded`.
    """
    if argument == "":  # perhaps an unset shell variable, so the default store would be a surprise
        raise CallerError(Code.INVALID_ARGUMENTS, "--store is empty; it must name a file.")
    chosen = argument or environment.get("CLAUDE_SECRETS_STORE") or ""
    return expanded(chosen) if chosen else configured or default_store()


def expanded(text: str) -> Path:
    """Make a path absolute that the person named. A leading `~` or `~user` becomes the home directory.

    Raises:
        CallerError: INVALID_ARGUMENTS if the path is empty or the home's user is unknown.
    """
    if not text:
        raise CallerError(Code.INVALID_ARGUMENTS, "The path is empty.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise CallerError(Code.INVALID_ARGUMENTS, "The home directory in this path is unknown.") from None


def working_directory() -> Path:
    """Return the working directory. If it was deleted, return the root directory, which is never in a project."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.sep)


def home() -> Path:
    """Return the home directory that the environment sets, or the account's if the environment sets none."""
    try:
        return Path.home()
    except RuntimeError:  # Windows without USERPROFILE
        return account_home()


def account_home() -> Path:
    """Return the account's home directory, which the environment cannot change.

    On POSIX it comes from the user database, and on Windows it is the profile directory.

    Raises:
        RuntimeError: the system knows no home directory, and neither does the environment.
    """
    if sys.platform == "win32":
        return profile_directory() or Path.home()
    else:
        import pwd

        with suppress(KeyError):  # a container's user may have no entry, and only HOME
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
        return Path.home()


def home_directories() -> frozenset[Path]:
    """Return the home directory that the environment sets, and the account's home directory."""
    return frozenset(Path(true_path(each)) for each in (home(), account_home()))


def in_own_terminal(directory: Path | str, words: str) -> str:
    """Return the part of a hint that tells the person what to type, and not to type it through the agent.

    The hint also tells the agent not to run the command, because the agent may read the hint first.
    """
    typed = f"cd {quoted(str(directory))} && {command()} {words}"
    return f"not with `!` and not through the agent; in another terminal type exactly: {typed}"


def command() -> str:
    """Return the command with which the person runs this program, for use in hints."""
    return joined(command_words())


@cache
def command_words() -> tuple[str, ...]:
    """Return the words of the command that starts this program, for hints and for clients' configurations."""
    if "/uv/" in Path(sys.prefix).as_posix() and "archive-v0" in Path(sys.prefix).as_posix():
        source = _source()
        return ("uvx", APPLICATION) if source is None else ("uvx", "--from", source, APPLICATION)
    if Path(sys.argv[0]).name == "__main__.py":
        return ("python", "-P", "-m", "claude_secrets")
    return (APPLICATION,)


def _source() -> str | None:
    """Return the path or URL from which this package was installed, without credentials; None for a package index.

    Without the path or URL, the command in a hint would run the package of this name from a package index.
    `direct_url.json` is specified at https://packaging.python.org/en/latest/specifications/direct-url/.
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit, urlunsplit
    from urllib.request import url2pathname

    try:
        found = json.loads(distribution(APPLICATION).read_text("direct_url.json") or "{}")
        url = found.get("url")
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme == "file" and "vcs_info" not in found:
            return url2pathname(parts.path)
        if parts.scheme != "ssh":  # an ssh user name is no credential, but other user names and queries can be
            parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        elif parts.password is not None:
            return None
        url = urlunsplit(parts._replace(query="", fragment=""))
        return f"{found['vcs_info']['vcs']}+{url}" if "vcs_info" in found else url
    except (PackageNotFoundError, ValueError, KeyError, AttributeError):  # a broken installation
        return None
