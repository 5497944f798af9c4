"""The table of clients, for each operating system."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claude_secrets.clients.habits import HABITS
from claude_secrets.clients.known import CLIENTS, NAME, Account, Client, Format, by_id, sign_of

SUPPORT = "Library/Application Support"
FILES = {
    "claude-code": (".claude.json", ".claude.json", ".claude.json"),
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        f"{SUPPORT}/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "codex": (".codex/config.toml",) * 3,
    "gemini": (".gemini/settings.json",) * 3,
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        f"{SUPPORT}/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
}
PLATFORMS = ("linux", "darwin", "win32")


def client(identifier: str) -> Client:
    found = by_id(identifier)
    assert found is not None
    return found


def account(home: Path, platform: str = "linux", environment: Mapping[str, str] = {}) -> Account:
    return Account(home, environment, platform)


def test_all_clients_are_in_both_tables() -> None:
    assert [each.id for each in CLIENTS] == list(FILES)
    assert set(HABITS) == set(FILES)
    assert by_id("emacs") is None


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("identifier", FILES)
def test_each_file_is_at_its_usual_place(tmp_path: Path, identifier: str, platform: str) -> None:
    expected = FILES[identifier][PLATFORMS.index(platform)]
    assert client(identifier).file(account(tmp_path, platform)) == tmp_path / expected


MOVED = [
    ("claude-code", "linux", "CLAUDE_CONFIG_DIR", ".claude.json"),
    ("codex", "darwin", "CODEX_HOME", "config.toml"),
    ("gemini", "win32", "GEMINI_CLI_HOME", ".gemini/settings.json"),
    ("claude-desktop", "linux", "XDG_CONFIG_HOME", "Claude/claude_desktop_config.json"),
    ("claude-desktop", "win32", "APPDATA", "Claude/claude_desktop_config.json"),
    ("vscode", "linux", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
    ("vscode", "win32", "APPDATA", "Code/User/mcp.json"),
    ("zed", "linux", "XDG_CONFIG_HOME", "zed/settings.json"),
    ("zed", "win32", "APPDATA", "Zed/settings.json"),
]


@pytest.mark.parametrize(("identifier", "platform", "variable", "expected"), MOVED)
def test_a_variable_moves_the_file(
    tmp_path: Path, identifier: str, platform: str, variable: str, expected: str
) -> None:
    moved = account(tmp_path / "home", platform, {variable: str(tmp_path / "moved")})
    assert client(identifier).file(moved) == tmp_path / "moved" / expected


@pytest.mark.parametrize("value", ["", "relative/place"])
def test_an_empty_or_relative_variable_moves_nothing(tmp_path: Path, value: str) -> None:
    given = account(tmp_path, "linux", {"XDG_CONFIG_HOME": value, "CODEX_HOME": value})
    assert client("zed").file(given) == tmp_path / ".config/zed/settings.json"
    assert client("codex").file(given) == tmp_path / ".codex/config.toml"


@pytest.mark.parametrize("identifier", ["zed", "vscode", "claude-desktop"])
def test_xdg_variables_do_not_count_on_macos(tmp_path: Path, identifier: str) -> None:
    given = account(tmp_path, "darwin", {"XDG_CONFIG_HOME": str(tmp_path / "moved")})
    assert not client(identifier).file(given).is_relative_to(tmp_path / "moved")


def test_the_packaged_claude_desktop_keeps_its_own_file(tmp_path: Path) -> None:
    given = account(tmp_path, "win32")
    packages = tmp_path / "AppData/Local/Packages"
    other = packages / "Claude_0other/LocalCache/Roaming/Claude"
    other.mkdir(parents=True)
    packaged = packages / "Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
    packaged.mkdir(parents=True)
    (packages / "ClaudeOther_1/LocalCache/Roaming/Claude").mkdir(parents=True)
    assert client("claude-desktop").file(given).parent == other
    (packaged / "claude_desktop_config.json").write_text("{}")
    assert client("claude-desktop").file(given).parent == packaged
    assert sign_of(client("claude-desktop"), given) is not None


def test_another_build_of_vs_code_is_found_only_if_the_usual_one_is_missing(tmp_path: Path) -> None:
    (tmp_path / ".config/VSCodium/User").mkdir(parents=True)
    assert client("vscode").file(account(tmp_path)) == tmp_path / ".config/VSCodium/User/mcp.json"
    (tmp_path / ".config/Code/User").mkdir(parents=True)
    assert client("vscode").file(account(tmp_path)) == tmp_path / ".config/Code/User/mcp.json"


@pytest.mark.parametrize("platform", ["linux", "win32"])
@pytest.mark.parametrize("each", CLIENTS, ids=lambda each: each.id)
def test_on_an_empty_machine_no_client_is_installed(tmp_path: Path, each: Client, platform: str) -> None:
    assert sign_of(each, account(tmp_path, platform, {"PATH": str(tmp_path)})) is None
    assert sign_of(each, account(tmp_path, platform)) is None


@pytest.mark.parametrize("each", CLIENTS, ids=lambda each: each.id)
def test_a_program_or_the_file_shows_that_a_client_is_installed(tmp_path: Path, each: Client) -> None:
    platform, ending = ("win32", ".EXE") if sys.platform == "win32" else ("linux", "")
    program = tmp_path / "bin" / f"{each.programs[0]}{ending}"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    given = account(tmp_path / "home", platform, {"PATH": str(program.parent)})
    assert sign_of(each, given) == program
    file = each.file(given)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert sign_of(each, given) == file


def test_an_application_shows_it_on_macos(tmp_path: Path) -> None:
    application = tmp_path / "Applications" / "Windsurf.app"
    application.mkdir(parents=True)
    assert sign_of(client("windsurf"), account(tmp_path, "darwin")) == application
    assert sign_of(client("windsurf"), account(tmp_path, "linux")) is None


def test_a_directory_of_projects_is_no_sign_of_claude_code(tmp_path: Path) -> None:
    """This program itself writes `.claude/secrets.yml`, perhaps at home."""
    (tmp_path / ".claude").mkdir()
    assert sign_of(client("claude-code"), account(tmp_path)) is None


SESSION = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
]
ENTRIES: dict[str, dict[str, object]] = {
    "claude-code": {"type": "stdio", "command": "/c", "args": ["a"], "env": {}},
    "codex": {"command": "/c", "args": ["a"], "env_vars": SESSION},
    "vscode": {"type": "stdio", "command": "/c", "args": ["a"]},
    "zed": {"source": "custom", "command": "/c", "args": ["a"], "env": {}},
}


@pytest.mark.parametrize("each", CLIENTS, ids=lambda each: each.id)
def test_each_entry_has_the_client_s_own_shape(each: Client) -> None:
    entry = each.entry("/c", ("a",), {})
    assert entry == ENTRIES.get(each.id, {"command": "/c", "args": ["a"]})
    assert each.entry("/c", (), {"A": "b"})["env"] == {"A": "b"}
    assert each.path()[-1] == NAME
    assert (each.format is Format.TOML) == (each.id == "codex")


def test_servers_of_desktop_programs_do_not_start_in_the_project() -> None:
    assert {each.id for each in CLIENTS if each.in_project} == {"claude-code", "codex", "gemini", "zed"}
    for each in CLIENTS:
        directory = HABITS[each.id].directory(account(Path("/home/me")), Path("/home/me/work"))
        assert (directory == Path("/home/me/work")) == each.in_project
