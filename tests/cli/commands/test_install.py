"""`install` and `uninstall` change the clients' files, and nothing else."""

import json
from pathlib import Path

import pytest

from claude_secrets.clients.known import CLIENTS
from tests.support.machine import Machine

pytestmark = pytest.mark.usefixtures("quick_starts")

TOKEN = "ghp_canary0123456789"
CURSOR = (
    f'{{\n  // mine\n  "mcpServers": {{\n    "git": {{"command": "uvx", "env": {{"TOKEN": "{TOKEN}"}}}}\n  }}\n}}\n'
)
CODEX = 'model = "o4"\n\n[mcp_servers.git]\ncommand = "uvx"\n'


def tree(root: Path) -> dict[str, bytes]:
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}


@pytest.fixture
def configured(bare_machine: Machine) -> Machine:
    """A person with Cursor and Codex. Real clients of the developer's machine are not found."""
    for path, text in ((".cursor/mcp.json", CURSOR), (".codex/config.toml", CODEX)):
        file = bare_machine.home / path
        file.parent.mkdir()
        file.write_text(text)
    bare_machine.environment["PATH"] = "/usr/bin:/bin"
    return bare_machine


def cursor(machine: Machine) -> str:
    return (machine.home / ".cursor" / "mcp.json").read_text()


def test_install_and_uninstall_all(configured: Machine) -> None:
    before = tree(configured.home)
    done = configured.run("install", "--all")
    assert done.returncode == 0, done.stderr
    assert "Codex: added (~/.codex/config.toml)" in done.stdout
    assert "Cursor: added (~/.cursor/mcp.json)" in done.stdout
    assert "uninstall --undo codex cursor\n" in done.stdout
    assert '"secrets"' in cursor(configured)
    assert "// mine" in cursor(configured)
    after = tree(configured.home)
    again = configured.run("install", "--all")
    assert "Cursor: unchanged" in again.stdout
    assert "To undo" not in again.stdout
    assert tree(configured.home) == after
    undone = configured.run("uninstall", "--all")
    assert undone.returncode == 0
    assert "Cursor: removed (~/.cursor/mcp.json)" in undone.stdout
    assert tree(configured.home) == before
    nothing = configured.run("uninstall", "--all")
    assert "not registered" in nothing.stderr


def test_a_dry_run_shows_the_diff_and_changes_nothing(configured: Machine) -> None:
    before = tree(configured.home)
    done = configured.run("install", "--all", "--hooks", "claude-code", "--dry-run")
    assert done.returncode == 2
    done = configured.run("install", "cursor", "codex", "claude-code", "--hooks", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Cursor: would be added" in done.stdout
    assert '+    "secrets": {' in done.stdout
    assert "+[mcp_servers.secrets]" in done.stdout
    assert "Claude Code: hooks would be added" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert tree(configured.home) == before
    configured.run("install", "cursor")
    installed = tree(configured.home)
    done = configured.run("uninstall", "cursor", "--dry-run")
    assert '-    "secrets": {' in done.stdout
    assert tree(configured.home) == installed


def test_a_broken_file_stops_only_its_own_client(configured: Machine) -> None:
    (configured.home / ".codex" / "config.toml").write_text(f'token = "{TOKEN}\n')
    done = configured.run("install", "codex", "cursor")
    assert done.returncode == 1
    assert "Codex: [INVALID_ARGUMENTS]" in done.stderr
    assert "config.toml cannot be changed" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert (configured.home / ".codex" / "config.toml").read_text() == f'token = "{TOKEN}\n'
    assert "Cursor: added" in done.stdout


@pytest.mark.parametrize("command", [("install", "--all", "--yes"), ("setup", "--yes")])
def test_a_broken_file_of_a_client_without_a_project_stops_only_this_client(
    configured: Machine, command: tuple[str, ...]
) -> None:
    file = configured.home / ".config" / "Claude" / "claude_desktop_config.json"
    file.parent.mkdir()
    file.write_text(f'{{"token": "{TOKEN}"')
    done = configured.run(*command, environment={"CLAUDE_SECRETS_KEY_FILE": str(configured.home / "key")})
    assert done.returncode == 1
    assert f"{file} cannot be changed" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Cursor: added" in done.stdout
    assert not (configured.home / "Claude").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name one or more clients"),
        (["curser"], "Did you mean `cursor`?"),
        (["ghp_canary0123456789"], "Unknown client"),
        (["cursor", "--all"], "not both"),
    ],
)
def test_wrong_use_is_refused_and_repeats_nothing(configured: Machine, arguments: list[str], said: str) -> None:
    before = tree(configured.home)
    for command in ("install", "uninstall"):
        done = configured.run(command, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert TOKEN not in done.stderr
    assert tree(configured.home) == before


def test_json_has_every_file(configured: Machine) -> None:
    done = configured.run("install", "cursor", "claude-code", "--hooks", "--json")
    assert [(one["client"], one["what"], one["state"]) for one in json.loads(done.stdout)] == [
        ("claude-code", "server", "added"),
        ("claude-code", "hooks", "added"),
        ("cursor", "server", "added"),
    ]


def test_an_agent_may_not_change_clients(configured: Machine) -> None:
    before = tree(configured.home)
    for command in (["install", "cursor"], ["uninstall", "--all"], ["setup", "--yes"], ["setup", "--dry-run"]):
        done = configured.run(*command, environment={"CLAUDE_SECRETS_AGENT": "1"})
        assert done.returncode == 3
        assert "PERSON_ONLY" in done.stderr
    assert tree(configured.home) == before


def test_without_a_terminal_only_the_configuration_allows_changes(configured: Machine) -> None:
    configured.configure()
    before = tree(configured.home)
    for command in (["install", "cursor"], ["uninstall", "--all"], ["setup", "--yes"]):
        done = configured.run(*command)
        assert done.returncode == 3
        assert "presence: any" in done.stderr
    assert tree(configured.home) == before
    assert configured.run("install", "cursor", "--dry-run").returncode == 0


def test_claude_desktop_gets_a_project(configured: Machine) -> None:
    before = tree(configured.home)
    asked = configured.run("install", "claude-desktop")
    assert asked.returncode == 2
    assert "--project DIR, or --yes for ~/Claude" in asked.stderr
    assert tree(configured.home) == before
    done = configured.run("install", "claude-desktop", "--yes")
    assert done.returncode == 0, done.stderr
    project = configured.home / "Claude"
    assert (project / ".claude" / "secrets.yml").exists()
    file = configured.home / ".config" / "Claude" / "claude_desktop_config.json"
    assert json.loads(file.read_text())["mcpServers"]["secrets"]["args"][-2:] == ["--project", str(project)]
    assert "unchanged" in configured.run("install", "claude-desktop").stdout  # its project is known
    configured.run("uninstall", "claude-desktop")
    assert tree(configured.home) == before
    assert not project.exists()


def test_an_allowlist_with_names_stays(configured: Machine) -> None:
    configured.run("install", "claude-desktop", "--yes")
    file = configured.home / "Claude" / ".claude" / "secrets.yml"
    file.write_text("allow: [TOKEN]\n")
    configured.run("uninstall", "claude-desktop")
    assert file.read_text() == "allow: [TOKEN]\n"


@pytest.mark.parametrize("directory", ["", ".."])
def test_home_is_no_project(configured: Machine, directory: str) -> None:
    done = configured.run("install", "claude-desktop", "--project", str(configured.home / directory))
    assert done.returncode == 3
    assert "NO_PROJECT" in done.stderr


def test_every_client_can_be_installed_and_removed_at_once(configured: Machine) -> None:
    before = tree(configured.home)
    done = configured.run("install", *(client.id for client in CLIENTS), "--yes", "--hooks")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": added") == len(CLIENTS)
    configured.run("uninstall", "--undo")
    assert tree(configured.home) == before


def test_what_a_clone_chooses_gets_into_no_configuration(configured: Machine) -> None:
    clone = configured.project("clone")
    before = tree(configured.home)
    for name, value in (("XDG_DATA_HOME", str(clone / "data")), ("CLAUDE_SECRETS_KEY_FILE", "key")):
        refused = configured.run("install", "cursor", at=clone, environment={name: value})
        assert (refused.returncode, f"{name} leads into the project" in refused.stderr) == (2, True)
    undone = configured.run("uninstall", "--undo", at=clone, environment={"XDG_DATA_HOME": str(clone / "data")})
    assert (undone.returncode, "XDG_DATA_HOME leads into" in undone.stderr) == (2, True)
    assert tree(configured.home) == before


def test_a_relative_path_of_the_environment_becomes_absolute(configured: Machine) -> None:
    elsewhere = configured.home / "elsewhere"
    elsewhere.mkdir()
    configured.run("install", "cursor", at=elsewhere, environment={"CLAUDE_SECRETS_KEY_FILE": "key"})
    assert f'"CLAUDE_SECRETS_KEY_FILE": "{elsewhere / "key"}"' in cursor(configured)


def test_a_home_that_is_a_git_work_tree_is_no_project(configured: Machine) -> None:
    (configured.home / ".git").mkdir()
    assert configured.run("install", "cursor").returncode == 0
    assert configured.run("uninstall", "cursor").returncode == 0


@pytest.mark.parametrize("agrees", [True, False])
def test_the_store_is_asked_about_before_anything_is_removed(configured: Machine, agrees: bool) -> None:
    configured.use_key_file()
    before = tree(configured.home)
    configured.run("install", "cursor")
    done = configured.run("uninstall", "--all", "--purge-store", "--yes", stdin="0\n" if agrees else "no\n")
    assert (done.returncode, configured.store.exists(), '"secrets"' in cursor(configured)) == (
        (0, False, False) if agrees else (1, True, True)
    )
    if agrees:
        assert "still stored" not in done.stderr
        assert tree(configured.home) == {name: data for name, data in before.items() if "secrets.db" not in name}
    else:
        assert "Nothing was changed." in done.stdout
