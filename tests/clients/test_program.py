"""The command that a client starts, and recognising it in other people's configurations."""

import os
import sys
from pathlib import Path

import pytest

from claude_secrets import paths
from claude_secrets.clients.program import installed, is_wrapped, own_arguments

OURS = [
    (["claude-secrets"], ()),
    (["/home/ada/.local/bin/claude-secrets", "--project", "/work"], ("--project", "/work")),
    (["C:\\Users\\Ada\\.local\\bin\\claude-secrets.exe", "serve"], ("serve",)),
    (["claude-secrets.cmd"], ()),
    (["uvx", "claude-secrets"], ()),
    (["/usr/bin/uvx", "claude-secrets@1.2", "--trust", "required"], ("--trust", "required")),
    (["uvx", "--from", "/src/claude-secrets", "claude-secrets", "--project", "/w"], ("--project", "/w")),
    (["uvx", "--from", "claude-secrets", "claude-secrets"], ()),
    (["uv", "tool", "run", "claude-secrets"], ()),
    (["uv", "run", "--directory", "/src/claude-secrets", "claude-secrets"], ()),
    (["pipx", "run", "--spec", "claude-secrets", "claude-secrets", "-x"], ("-x",)),
    (["/venv/bin/python3.12", "-P", "-m", "claude_secrets"], ()),
    (["py", "-m", "claude_secrets", "serve"], ("serve",)),
]

NOT_OURS: list[list[str]] = [
    [],
    [""],
    ["npx", "-y", "@example/claude-secrets-mcp"],
    ["node", "/srv/claude-secrets/index.js"],
    ["claude-secrets-mcp"],
    ["uvx", "mcp-server-git", "--repository", "/src/claude-secrets"],
    ["uvx", "--from", "claude-secrets", "other"],
    ["python", "-m", "claude_secrets_other"],
    ["python", "/src/claude-secrets/server.py"],
    ["python", "-c", "import other", "claude-secrets"],
    ["docker", "run", "claude-secrets"],
]


@pytest.mark.parametrize(("words", "arguments"), OURS)
def test_commands_that_start_this_program(words: list[str], arguments: tuple[str, ...]) -> None:
    assert own_arguments(words) == arguments


@pytest.mark.parametrize("words", NOT_OURS)
def test_commands_that_start_something_else(words: list[str]) -> None:
    assert own_arguments(words) is None


@pytest.mark.parametrize(
    "words",
    [
        ["wsl.exe", "-e", "/home/ada/.local/bin/claude-secrets"],
        ["cmd", "/c", "claude-secrets --project C:\\work"],
        ["docker", "exec", "-i", "dev", "claude-secrets"],
        ["/usr/bin/env", "A=b", "claude-secrets"],
    ],
)
def test_a_command_can_start_this_program_through_another(words: list[str]) -> None:
    assert is_wrapped(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["npx", "@example/claude-secrets-mcp"],
        ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/src/claude-secrets"],
        ["uvx", "mcp-server-git", "--repository", "/src/claude-secrets"],
        ["docker", "run", "-v", "/src/claude-secrets/docs:/docs", "other"],
        ["wsl.exe", "-e", "/home/ada/.local/bin/other"],
    ],
)
def test_a_server_that_only_works_on_its_sources_starts_something_else(words: list[str]) -> None:
    """Such a person must get an entry of their own."""
    assert not is_wrapped(words)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed command at the end of a link, as `uv tool install` makes it."""
    monkeypatch.setattr(paths, "command_words", lambda: ("claude-secrets",))
    monkeypatch.setattr("claude_secrets.clients.program.command_words", lambda: ("claude-secrets",))
    real = tmp_path / "tools" / "bin" / "claude-secrets"
    real.parent.mkdir(parents=True)
    real.write_text("#!/bin/sh\n")
    link = tmp_path / "bin" / "claude-secrets"
    link.parent.mkdir()
    if sys.platform == "win32":  # links need a privilege, and a program needs an ending
        link = link.with_suffix(".exe")
        link.write_bytes(b"MZ")
    else:
        link.symlink_to(real)
    return link


def test_the_command_is_absolute_and_its_links_stay(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    assert installed({}, started_as="claude-secrets").command == str(script)
    assert installed({}, started_as=str(script)).command == str(script)


def test_a_windows_launcher_may_leave_out_its_ending(script: Path) -> None:
    program = script.with_name("other") / "claude-secrets"
    program.parent.mkdir()
    program.with_name("claude-secrets.exe").write_bytes(b"MZ")
    assert installed({}, started_as=str(program)).command == str(program.with_name("claude-secrets.exe"))


def test_without_a_script_the_interpreter_is_started(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    program = installed({}, started_as="/nowhere/pytest")
    assert program.words == (sys.executable, "-P", "-m", "claude_secrets")
    assert script.exists()


def test_a_program_in_the_working_directory_is_not_registered(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    found = installed({"PATH": os.devnull}, started_as="/nowhere/pytest")
    assert found.command == sys.executable


@pytest.mark.skipif(sys.platform != "win32", reason="only Windows ignores the case of names")
def test_the_case_of_a_name_does_not_matter_on_windows(script: Path) -> None:
    assert own_arguments(["Claude-Secrets", "serve"]) == ("serve",)
    assert installed({}, started_as=str(script).upper()).command == str(script).upper()


def test_uvx_is_found_beside_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("uvx", "--from", "/src", "claude-secrets")
    monkeypatch.setattr("claude_secrets.clients.program.command_words", lambda: words)
    (tmp_path / "uvx").touch()
    program = installed({"UV": str(tmp_path / "uv")})
    assert program.words == (str(tmp_path / "uvx"), *words[1:])
    assert program.is_cached


def test_variables_that_choose_the_store_are_given_on(script: Path) -> None:
    given = {"CLAUDE_SECRETS_STORE": "/s", "XDG_DATA_HOME": "/d", "GITHUB_TOKEN": "x", "CLAUDE_SECRETS_TRUST": ""}
    program = installed(given, started_as=str(script))
    assert dict(program.environment) == {"CLAUDE_SECRETS_STORE": "/s", "XDG_DATA_HOME": "/d"}
