"""Registering the server with clients: `install` and `uninstall` over realistic configurations."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from claude_secrets.cli.parser import parser_of
from claude_secrets.clients import entries
from claude_secrets.clients.changed_files import ChangedFiles
from claude_secrets.clients.known import CLIENTS, Account, Client, Format, by_id
from claude_secrets.clients.plans import HOOKS, SERVER, Planner
from claude_secrets.clients.program import Program
from claude_secrets.errors import CallerError

PROGRAM = Program("/home/ada/.local/bin/claude-secrets", (), {"XDG_DATA_HOME": "/home/ada/data"})
CANARY = "ghp_canary0123456789"

TWO_SERVERS = """\
{
    "KEY": {
        "git": {
            "command": "uvx",
            "args": ["mcp-server-git"]
        },
        "github": {
            "command": "npx",
            "env": {"GITHUB_TOKEN": "CANARY"}
        }
    }
}
"""

COMMENTED = """\
// Settings of the editor.
{
  // the token is "CANARY"
  "KEY": {
    /* one */ "git": {"command": "uvx"}, // CANARY
  }, // more
  "font": "x",
}
"""

CONFIGURATIONS = {
    "no file": None,
    "empty": "",
    "blank": " \n",
    "braces": "{}",
    "braces and blank": "{ }\n",
    "other members": '{\n  "theme": "dark",\n  "tabs": 4\n}\n',
    "empty container": '{\n  "KEY": {}\n}\n',
    "one line": '{"KEY": {"git": {"command": "uvx", "args": ["mcp-server-git"]}}}',
    "two servers": TWO_SERVERS,
    "crlf": '{\r\n\t"KEY": {\r\n\t\t"git": {"command": "uvx"}\r\n\t}\r\n}\r\n',
    "bom": '\ufeff{\n "KEY": {\n  "git": {"command": "uvx"}\n }\n}',
    "comments": COMMENTED,
    "line separator in a text": '{"note": "a\u2028b", "KEY": {"git": {"env": {"TOKEN": "CANARY"}}}}',
    "other characters": '{"KEY": {"gît ☃": {"command": "uvx", "env": {"A": "\\u00e9"}}}}\n',
}

CODEX_SERVERS = """\
# mine
[mcp_servers.git]
command = "uvx"
args = ["a", "b"] # CANARY

[mcp_servers.git.env]
TOKEN = "CANARY"
"""

TOML = {
    "no file": None,
    "empty": "",
    "settings": 'model = "o4"\n\n[tui]\nnotifications = true # yes\n',
    "servers": CODEX_SERVERS,
    "crlf": CODEX_SERVERS.replace("\n", "\r\n"),
    "after": '[mcp_servers.git]\ncommand = "uvx"\n\n[projects."/work"]\ntrust_level = "trusted"\n',
    "no newline": '[mcp_servers.git]\ncommand = "uvx"',
}


def _cases() -> Iterator[ParameterSet]:
    for client in CLIENTS:
        for name, data in (TOML if client.format is Format.TOML else CONFIGURATIONS).items():
            content = None
            if data is not None:
                content = data.replace("KEY", client.keys[0]).replace("CANARY", CANARY).encode()
            yield pytest.param(client, content, id=f"{client.id}: {name}")


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path, {}, "linux")


@pytest.fixture
def files(tmp_path: Path) -> ChangedFiles:
    return ChangedFiles(tmp_path / "records")


@pytest.fixture
def planner(account: Account, files: ChangedFiles) -> Planner:
    return Planner(account, files, PROGRAM)


def _client(identifier: str) -> Client:
    client = by_id(identifier)
    assert client is not None
    return client


def _tree(root: Path) -> dict[str, bytes]:
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}


@pytest.mark.parametrize(("client", "data"), [*_cases()])
def test_install_and_uninstall_give_the_bytes_back(
    client: Client, data: bytes | None, account: Account, files: ChangedFiles, tmp_path: Path
) -> None:
    planner, path = Planner(account, files, PROGRAM), client.file(account)
    if data is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    before = _tree(tmp_path)
    project = None if client.tells_project else "/home/ada/Claude"
    (step,) = planner.install(client, project, with_hooks=False)
    assert step.is_new
    step.carry_out(files)
    (entry,) = entries.find_entries(client, path.read_bytes())
    assert entry.name == "secrets"
    assert (entry.program.command, entry.project) == (PROGRAM.command, project)
    assert dict(entry.program.environment) == dict(PROGRAM.environment)
    (again,) = planner.install(client, project, with_hooks=False)
    assert not again.changes
    (removal,) = [one for one in planner.remove(client) if one.what == SERVER]
    removal.carry_out(files)
    assert _tree(tmp_path) == before
    assert list(files) == []


@pytest.mark.parametrize(("client", "data"), [*_cases()])
def test_a_diff_shows_our_entry_and_nothing_of_other_servers(
    client: Client, data: bytes | None, account: Account, planner: Planner, tmp_path: Path
) -> None:
    path = client.file(account)
    if data is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    before = _tree(tmp_path)
    (step,) = planner.install(client, None, with_hooks=False)
    shown = "\n".join(step.differences())
    assert PROGRAM.command in shown
    assert CANARY not in shown
    assert _tree(tmp_path) == before
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("undo", [False, True])
def test_a_file_that_the_client_no_longer_uses_gets_its_bytes_back(
    undo: bool, account: Account, files: ChangedFiles, tmp_path: Path
) -> None:
    """CODEX_HOME was set when the server was registered, and is not set any longer."""
    client, elsewhere = _client("codex"), tmp_path / "elsewhere"
    there = account._replace(environment={**account.environment, "CODEX_HOME": str(elsewhere)})
    path = client.file(there)
    path.parent.mkdir()
    path.write_text(CODEX_SERVERS)
    for step in Planner(there, files, PROGRAM).install(client, None, with_hooks=False):
        step.carry_out(files)
    now = Planner(account, files, PROGRAM)
    for step in now.undo(client) if undo else now.remove(client):
        step.carry_out(files)
    assert path.read_text() == CODEX_SERVERS
    assert list(files) == []


def test_a_project_that_is_named_replaces_the_one_in_the_entry(account: Account, planner: Planner) -> None:
    client = _client("claude-desktop")
    path = client.file(account)
    path.parent.mkdir(parents=True)
    args = ["--trust", "required", "--project=/old", "--project", "/older"]
    path.write_text(json.dumps({"mcpServers": {"secrets": {"command": "claude-secrets", "args": args}}}))
    (kept,) = planner.install(client, None, with_hooks=False)
    assert kept.after is not None
    assert json.loads(kept.after)["mcpServers"]["secrets"]["args"] == args
    (named,) = planner.install(client, "/new", with_hooks=False)
    assert named.after is not None
    assert json.loads(named.after)["mcpServers"]["secrets"]["args"] == ["--trust", "required", "--project", "/new"]


def test_a_server_for_our_sources_does_not_stand_in_the_way(account: Account, planner: Planner) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    git = {"command": "uvx", "args": ["mcp-server-git", "--repository", "/src/claude-secrets"]}
    path.write_text(json.dumps({"mcpServers": {"git": git}}))
    (step,) = planner.install(client, None, with_hooks=False)
    assert step.after is not None
    assert sorted(json.loads(step.after)["mcpServers"]) == ["git", "secrets"]


def test_an_entry_that_starts_the_server_elsewhere_is_the_only_one(account: Account, planner: Planner) -> None:
    client = _client("claude-desktop")
    path = client.file(account)
    path.parent.mkdir(parents=True)
    wrapped = {"command": "wsl.exe", "args": ["-e", "/home/ada/.local/bin/claude-secrets"]}
    path.write_text(json.dumps({"mcpServers": {"mine": wrapped}}))
    (step,) = planner.install(client, "/new", with_hooks=False)
    assert not step.changes


def test_a_record_removes_no_file_that_is_no_allowlist(
    account: Account, files: ChangedFiles, planner: Planner, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"known")
    files.note_made("zed", path, b"known")
    assert planner.undo(_client("zed")) == []


@pytest.mark.parametrize("undo", [False, True])
def test_other_changes_since_then_stay(undo: bool, account: Account, files: ChangedFiles, planner: Planner) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"git": {"command": "uvx"}}}')
    for step in planner.install(client, None, with_hooks=False):
        step.carry_out(files)
    content = json.loads(path.read_text())
    content["mcpServers"]["new"] = {"url": "https://example.com/mcp"}
    path.write_text(json.dumps(content, indent=2))
    for step in planner.undo(client) if undo else planner.remove(client):
        step.carry_out(files)
    assert json.loads(path.read_text()) == {
        "mcpServers": {"git": {"command": "uvx"}, "new": {"url": "https://example.com/mcp"}}
    }
    assert list(files) == []


OLDER = json.dumps(
    {
        "mcpServers": {
            "cs": {
                "command": "uvx",
                "args": ["claude-secrets", "--trust", "required"],
                "env": {"A": "b"},
                "timeout": 9,
            }
        }
    }
)


def test_an_older_entry_is_updated_in_place(account: Account, files: ChangedFiles, planner: Planner) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text(OLDER)
    (step,) = planner.install(client, None, with_hooks=False)
    step.carry_out(files)
    assert json.loads(path.read_text())["mcpServers"] == {
        "cs": {
            "command": PROGRAM.command,
            "args": ["--trust", "required"],
            "env": {"A": "b", "XDG_DATA_HOME": "/home/ada/data"},
            "timeout": 9,
        }
    }
    (undo,) = planner.undo(client)
    undo.carry_out(files)
    assert path.read_text() == OLDER


@pytest.mark.parametrize("arguments", [["exec", "--only", "T", "--", "npx", "git"], ["--store", "serve", "set", "A"]])
def test_an_entry_that_starts_another_command_of_this_program_is_left_alone(
    arguments: list[str], account: Account, files: ChangedFiles, planner: Planner
) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    others = {"git": {"command": "/usr/bin/claude-secrets", "args": arguments}}
    path.write_text(json.dumps({"mcpServers": others}))
    for step in planner.install(client, None, with_hooks=False):
        step.carry_out(files)
    assert json.loads(path.read_text())["mcpServers"] == {**others, "secrets": _plain_entry()}
    assert [one.name for one in entries.find_entries(client, path.read_bytes())] == ["secrets"]
    for step in planner.remove(client):
        step.carry_out(files)
    assert json.loads(path.read_text()) == {"mcpServers": others}


def _plain_entry() -> dict[str, object]:
    return {"command": PROGRAM.command, "args": [], "env": dict(PROGRAM.environment)}


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["--project", "/w"], ["--trust", "required", "serve", "--store=x"]]
)
def test_arguments_that_run_the_server(arguments: list[str]) -> None:
    assert entries.serves(arguments)


def test_every_option_of_the_server_is_known() -> None:
    options = {word for action in parser_of("serve", "p")._actions for word in action.option_strings}
    for option in options - {"-h", "--help"}:
        assert entries.serves([option, "value", "serve"])
        assert not entries.serves([option, "value", "exec"])


def test_uninstall_also_removes_an_entry_that_was_there_before(
    account: Account, files: ChangedFiles, planner: Planner
) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text(OLDER)
    for step in planner.install(client, None, with_hooks=False):
        step.carry_out(files)
    for step in planner.remove(client):
        step.carry_out(files)
    assert json.loads(path.read_text()) == {"mcpServers": {}}


def test_undo_puts_an_older_entry_back_after_other_changes(
    account: Account, files: ChangedFiles, planner: Planner
) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text(OLDER)
    for step in planner.install(client, None, with_hooks=False):
        step.carry_out(files)
    path.write_text(path.read_text().replace('{"mcpServers"', '{"more": 1, "mcpServers"'))
    for step in planner.undo(client):
        step.carry_out(files)
    assert json.loads(path.read_text()) == {"more": 1, **json.loads(OLDER)}


def test_two_installs_with_a_change_in_between_undo_to_the_person_s_content(
    account: Account, files: ChangedFiles
) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text('{\n  "mcpServers": {}\n}\n')
    for step in Planner(account, files, PROGRAM).install(client, None, with_hooks=False):
        step.carry_out(files)
    path.write_text(path.read_text().replace('{\n  "mcp', '{\n  "more": 1,\n  "mcp'))
    for step in Planner(account, files, PROGRAM._replace(command="/new/claude-secrets")).install(
        client, None, with_hooks=False
    ):
        step.carry_out(files)
    for step in planner_of(account, files).remove(client):
        step.carry_out(files)
    assert path.read_text() == '{\n  "more": 1,\n  "mcpServers": {}\n}\n'


def planner_of(account: Account, files: ChangedFiles) -> Planner:
    return Planner(account, files, PROGRAM)


def test_a_name_that_another_server_has_is_left_to_it(account: Account, planner: Planner) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"secrets": {"command": "other"}}}')
    (step,) = planner.install(client, None, with_hooks=False)
    assert step.after is not None
    servers = json.loads(step.after)["mcpServers"]
    assert servers["secrets"] == {"command": "other"}
    assert servers["claude-secrets"]["command"] == PROGRAM.command
    path.write_text('{"mcpServers": {"secrets": {"command": "a"}, "claude-secrets": {"url": "b"}}}')
    with pytest.raises(CallerError, match="other servers"):
        planner.install(client, None, with_hooks=False)


BROKEN = [
    b"{",
    b'{"mcpServers": []}',
    b'{"mcpServers": {}, "mcpServers": {}}',
    b"\xff\xfe{\0}\0",
    b"[1]",
    b"{'a': CANARY}",
]


@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_file_is_refused_and_stays(data: bytes, account: Account, planner: Planner, tmp_path: Path) -> None:
    client = _client("cursor")
    path = client.file(account)
    path.parent.mkdir()
    path.write_bytes(data)
    before = _tree(tmp_path)
    with pytest.raises(CallerError) as raised:
        planner.install(client, None, with_hooks=False)
    assert str(path) in raised.value.message
    assert "CANARY" not in f"{raised.value.message} {raised.value.hint}"
    assert _tree(tmp_path) == before


def test_a_read_only_file_is_refused(account: Account, planner: Planner) -> None:
    client = _client("zed")
    path = client.file(account)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    path.chmod(0o444)
    with pytest.raises(CallerError, match="read-only"):
        planner.install(client, None, with_hooks=False)
    path.chmod(0o644)


LINTER = """\
{
  "model": "opus",
  "hooks": {
    "PreToolUse": [
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "lint"}]}
    ]
  }
}
"""

SETTINGS = [None, b"{}", LINTER.encode(), b'{"hooks": {"SessionStart": [], "Stop": [{"hooks": []}]}}']


@pytest.mark.parametrize("data", SETTINGS)
def test_hooks_come_and_go(data: bytes | None, account: Account, files: ChangedFiles, planner: Planner) -> None:
    client = _client("claude-code")
    settings = account.home / ".claude" / "settings.json"
    if data is not None:
        settings.parent.mkdir()
        settings.write_bytes(data)
    steps = planner.install(client, None, with_hooks=True)
    assert [step.what for step in steps] == [SERVER, HOOKS]
    for step in steps:
        step.carry_out(files)
    hooks = json.loads(settings.read_bytes())["hooks"]
    assert hooks["PostToolUse"] == [
        {"hooks": [{"type": "command", "command": f"{PROGRAM.command} hook post-tool-use"}]}
    ]
    assert not any(step.changes for step in planner.install(client, None, with_hooks=True))
    for step in planner.remove(client):
        step.carry_out(files)
    assert (settings.read_bytes() if settings.exists() else None) == data


def test_hooks_of_others_in_the_same_group_stay(account: Account, files: ChangedFiles, planner: Planner) -> None:
    client = _client("claude-code")
    settings = account.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    ours = {"type": "command", "command": "claude-secrets hook session-start", "timeout": 5}
    other = {"type": "command", "command": "greet"}
    settings.write_text(json.dumps({"hooks": {"SessionStart": [{"hooks": [ours, other, ours]}]}}))
    for step in planner.install(client, None, with_hooks=True):
        step.carry_out(files)
    (group,) = json.loads(settings.read_text())["hooks"]["SessionStart"]
    assert f"{PROGRAM.command} hook session-start" in [hook["command"] for hook in group["hooks"]]
    for step in planner.remove(client):
        step.carry_out(files)
    assert json.loads(settings.read_text()) == {"hooks": {"SessionStart": [{"hooks": [other]}]}}
