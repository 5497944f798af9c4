"""The MCP clients that this program knows: where each keeps its configuration, and what an entry in it looks like.

Always: this module reads only the names of directories and programs, and changes nothing. Functions get the home
directory, the environment and the platform as arguments, so that each client can be looked up for every system.

The facts about Claude Code 2.1.330, Codex 0.171.0 and Gemini CLI 0.61.0 were measured with the real programs. The facts
about VS Code and Zed come from their sources, and the facts about Claude Desktop, Cursor and Windsurf come from their
documents.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.programs import named

NAME: Final = "secrets"
"""The name of our entry in a client's configuration."""


class Format(StrEnum):
    """The format of a client's configuration file. `JSON` files of some clients also contain comments."""

    JSON = "json"
    TOML = "toml"


class Account(NamedTuple):
    """Whose clients are looked up, and on which system.

    `platform` is a value of `sys.platform`. The environment is the person's own, which may move a client's files.
    """

    home: Path
    environment: Mapping[str, str]
    platform: str

    def named(self, variable: str) -> Path | None:
        """Return the absolute directory that a variable names; None if it names none."""
        value = self.environment.get(variable, "")
        return Path(value) if value and Path(value).is_absolute() else None

    def config(self) -> Path:
        """Return the directory in which desktop programs keep their own configuration directories."""
        if self.platform == "win32":
            return self.named("APPDATA") or self.home / "AppData" / "Roaming"
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        return self.named("XDG_CONFIG_HOME") or self.home / ".config"

    def local(self) -> Path:
        """Return the directory of Windows for programs and data that do not roam."""
        return self.named("LOCALAPPDATA") or self.home / "AppData" / "Local"


class Client(NamedTuple):
    """One MCP client.

    `file` finds the configuration file for all projects, which need not exist. `keys` leads to the table with one entry
    per server. `in_project` says whether the client starts servers in the directory of the project. `tells_project`
    says whether a server learns the project at all, also as one of the client's roots. `programs` are the client's
    commands. `signs` are files and directories that exist only if the client is installed. `application` is the name of
    the application on macOS. `after_change` says how a running client takes a change up. `reported` are the beginnings,
    in lower case, of the names that the client gives itself in the protocol. `entry` makes the entry for a command, its
    arguments and its additional environment variables.
    """

    id: str
    title: str
    file: Callable[[Account], Path]
    format: Format
    keys: tuple[str, ...]
    in_project: bool
    tells_project: bool
    programs: tuple[str, ...]
    signs: Callable[[Account], tuple[Path, ...]]
    application: str | None
    after_change: str
    reported: tuple[str, ...]
    entry: Callable[[str, Sequence[str], Mapping[str, str]], dict[str, object]]

    def path(self) -> tuple[str, ...]:
        """Return the keys that lead to our own entry."""
        return (*self.keys, NAME)


def by_id(identifier: str) -> Client | None:
    """Return the client with this ID; None if there is none."""
    return next((client for client in CLIENTS if client.id == identifier), None)


_OF_WINDOWS: Final = re.compile("/mnt/[a-z]/")
"""Where WSL mounts the drives of Windows. Its PATH contains programs there, whose configuration is on Windows, too."""


def sign_of(client: Client, account: Account) -> Path | None:
    """Return a file, directory or program that shows that a client is installed; None if nothing shows it."""
    places = [client.file(account), *client.signs(account), *_applications(client, account)]
    for place in places:
        with suppress(OSError):  # a directory that this user may not read
            if place.exists():
                return place
    search = account.environment if account.environment.get("PATH") else {"PATH": ""}
    found = (named(program, search, platform=account.platform) for program in client.programs)
    return next((Path(program) for program in found if program and not _OF_WINDOWS.match(program)), None)


def _applications(client: Client, account: Account) -> list[Path]:
    if client.application is None or account.platform != "darwin":
        return []
    return [where / f"{client.application}.app" for where in (Path("/Applications"), account.home / "Applications")]


def _plain_entry(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    entry: dict[str, object] = {"command": command, "args": list(arguments)}
    return {**entry, "env": dict(environment)} if environment else entry


def _typed_entry(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    return {"type": "stdio", **_plain_entry(command, arguments, environment)}


def _claude_code_entry(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    """Return what `claude mcp add` writes, which has `env` even if it is empty."""
    return {**_typed_entry(command, arguments, environment), "env": dict(environment)}


_SESSION: Final = (
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
)
"""The variables that lead to the person's desktop: to the keyring, the browser and dialogs."""


def _codex_entry(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    """Return an entry that also names variables of the person's session, which Codex passes on only then."""
    return {**_plain_entry(command, arguments, environment), "env_vars": list(_SESSION)}


def _zed_entry(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    """Return an entry for all versions of Zed. The versions of 2025 need `source`, and later versions accept it."""
    return {"source": "custom", **_plain_entry(command, arguments, environment), "env": dict(environment)}


def _claude_code_file(account: Account) -> Path:
    return (account.named("CLAUDE_CONFIG_DIR") or account.home) / ".claude.json"


def _codex_directory(account: Account) -> Path:
    return account.named("CODEX_HOME") or account.home / ".codex"


def _gemini_directory(account: Account) -> Path:
    return (account.named("GEMINI_CLI_HOME") or account.home) / ".gemini"


def _desktop_directory(account: Account) -> Path:
    """Return the directory of Claude Desktop. The packaged version (MSIX) for Windows has its own copy of AppData.

    If several packages exist, the one that has a configuration file is taken.
    """
    if account.platform == "win32":
        found: list[Path] = []
        with suppress(OSError):
            found = sorted((account.local() / "Packages").glob("Claude_*/LocalCache/Roaming/Claude"))
        found.sort(key=lambda directory: not (directory / _DESKTOP_FILE).exists())
        if found:
            return found[0]
    return account.config() / "Claude"


_DESKTOP_FILE: Final = "claude_desktop_config.json"
_VSCODE_NAMES: Final = ("Code", "Code - Insiders", "VSCodium")


def _vscode_directory(account: Account) -> Path:
    """Return the directory of VS Code, or else the directory of the first of its other builds that is installed."""
    candidates = [account.config() / name / "User" for name in _VSCODE_NAMES]
    return next((each for each in candidates if each.is_dir()), candidates[0])


def _zed_directory(account: Account) -> Path:
    """Return the directory of Zed, which does not follow XDG_CONFIG_HOME on macOS."""
    if account.platform == "win32":
        return account.config() / "Zed"
    configured = account.named("XDG_CONFIG_HOME") if account.platform != "darwin" else None
    return (configured or account.home / ".config") / "zed"


def _windows_programs(account: Account, *names: str) -> tuple[Path, ...]:
    """Return the directories into which installers for one user of Windows put programs."""
    if account.platform != "win32":
        return ()
    return tuple(place / name for name in names for place in (account.local() / "Programs", account.local()))


CLIENTS: Final = (
    Client(
        id="claude-code",
        title="Claude Code",
        file=_claude_code_file,
        format=Format.JSON,
        keys=("mcpServers",),
        in_project=True,
        tells_project=True,
        programs=("claude",),
        signs=lambda _: (),  # ~/.claude may exist only because of other programs
        application=None,
        after_change="Start a new session of Claude Code.",
        reported=("claude-code",),
        entry=_claude_code_entry,
    ),
    Client(
        id="claude-desktop",
        title="Claude Desktop",
        file=lambda account: _desktop_directory(account) / _DESKTOP_FILE,
        format=Format.JSON,
        keys=("mcpServers",),
        in_project=False,
        tells_project=False,
        programs=("claude-desktop",),
        signs=lambda account: (_desktop_directory(account), *_windows_programs(account, "AnthropicClaude")),
        application="Claude",
        after_change="Quit Claude Desktop, and start it again.",
        reported=("claude-ai",),
        entry=_plain_entry,
    ),
    Client(
        id="codex",
        title="Codex",
        file=lambda account: _codex_directory(account) / "config.toml",
        format=Format.TOML,
        keys=("mcp_servers",),
        in_project=True,
        tells_project=True,
        programs=("codex",),
        signs=lambda account: (_codex_directory(account),),
        application=None,
        after_change="Start a new session of Codex.",
        reported=("codex",),
        entry=_codex_entry,
    ),
    Client(
        id="gemini",
        title="Gemini CLI",
        file=lambda account: _gemini_directory(account) / "settings.json",
        format=Format.JSON,
        keys=("mcpServers",),
        in_project=True,
        tells_project=True,
        programs=("gemini",),
        signs=lambda account: (_gemini_directory(account),),
        application=None,
        after_change="Start a new session of Gemini CLI, in a folder that it trusts. It starts no servers in others.",
        reported=("gemini-cli",),
        entry=_plain_entry,
    ),
    Client(
        id="cursor",
        title="Cursor",
        file=lambda account: account.home / ".cursor" / "mcp.json",
        format=Format.JSON,
        keys=("mcpServers",),
        in_project=False,
        tells_project=True,
        programs=("cursor",),
        signs=lambda account: (
            account.home / ".cursor",
            account.config() / "Cursor",
            *_windows_programs(account, "cursor"),
        ),
        application="Cursor",
        after_change=f"In Cursor's settings, open MCP, and check that `{NAME}` is switched on.",
        reported=("cursor",),
        entry=_plain_entry,
    ),
    Client(
        id="vscode",
        title="VS Code",
        file=lambda account: _vscode_directory(account) / "mcp.json",
        format=Format.JSON,
        keys=("servers",),
        in_project=False,
        tells_project=True,
        programs=("code", "code-insiders", "codium"),
        signs=lambda account: (
            _vscode_directory(account),
            *_windows_programs(account, "Microsoft VS Code", "Microsoft VS Code Insiders", "VSCodium"),
        ),
        application="Visual Studio Code",
        after_change=f"In VS Code, run the command “MCP: List Servers”, and start `{NAME}`.",
        reported=("visual studio code", "vscodium"),
        entry=_typed_entry,
    ),
    Client(
        id="windsurf",
        title="Windsurf",
        file=lambda account: account.home / ".codeium" / "windsurf" / "mcp_config.json",
        format=Format.JSON,
        keys=("mcpServers",),
        in_project=False,
        tells_project=False,
        programs=("windsurf",),
        signs=lambda account: (
            account.home / ".codeium" / "windsurf",
            account.config() / "Windsurf",
            *_windows_programs(account, "Windsurf"),
        ),
        application="Windsurf",
        after_change="In Windsurf, open the MCP panel of Cascade, and press Refresh.",
        reported=("windsurf",),
        entry=_plain_entry,
    ),
    Client(
        id="zed",
        title="Zed",
        file=lambda account: _zed_directory(account) / "settings.json",
        format=Format.JSON,
        keys=("context_servers",),
        in_project=True,
        tells_project=True,
        programs=("zed", "zeditor"),
        signs=lambda account: (_zed_directory(account), *_windows_programs(account, "Zed")),
        application="Zed",
        after_change="Zed takes the change up at once.",
        reported=("zed",),
        entry=_zed_entry,
    ),
)
"""All known clients, in the order in which they are shown."""
