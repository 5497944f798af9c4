"""`setup` asks first, then makes the store and connects the clients, and checks that they start the server."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.posix import skip_without
from tests.support.terminals import Running

skip_without("POSIX terminals")
assert sys.platform != "win32"


def tree(root: Path) -> dict[str, bytes]:
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}


@pytest.fixture
def newcomer(bare_machine: Machine) -> Machine:
    """A person with Claude Desktop, Cursor and a key file. Real clients of the developer's machine are not found."""
    (bare_machine.home / ".cursor").mkdir()
    (bare_machine.home / ".config" / "Claude").mkdir(parents=True)
    bare_machine.key_file.parent.mkdir()
    bare_machine.environment["PATH"] = "/usr/bin:/bin"
    bare_machine.environment["CLAUDE_SECRETS_KEY_FILE"] = str(bare_machine.key_file)
    return bare_machine


def test_a_script_takes_each_proposal(newcomer: Machine) -> None:
    done = newcomer.run("setup", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["store"]["works"] is True
    assert [(one["client"], one["what"], one["state"]) for one in told["clients"]] == [
        ("claude-desktop", "server", "added"),
        ("cursor", "server", "added"),
        ("claude-desktop", "allowlist", "made"),
    ]
    assert [one["state"] for one in told["checks"]] == ["ok", "ok"], told["checks"]
    assert all(one["message"].endswith("6 tools") for one in told["checks"])
    assert newcomer.store.exists()
    config = json.loads((newcomer.home / ".cursor" / "mcp.json").read_text())
    # The person's commands read the key from a file that only this variable names.
    assert config["mcpServers"]["secrets"]["env"] == {"CLAUDE_SECRETS_KEY_FILE": str(newcomer.key_file)}
    again = json.loads(newcomer.run("setup", "--yes", "--json").stdout)
    assert [one["state"] for one in again["clients"]] == ["unchanged", "unchanged"]


def test_a_dry_run_changes_nothing(newcomer: Machine) -> None:
    before = tree(newcomer.home)
    done = newcomer.run("setup", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Make the store ~/.local/share/claude-secrets/secrets.db" in done.stdout
    assert "Cursor: would be added" in done.stdout
    assert tree(newcomer.home) == before


@pytest.mark.parametrize("words", [["setup"], ["setup", "--json"]])
def test_without_a_terminal_or_an_option_nobody_is_asked(newcomer: Machine, words: list[str]) -> None:
    before = tree(newcomer.home)
    done = newcomer.run(*words)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert tree(newcomer.home) == before


def test_without_a_keyring_a_script_registers_and_says_how_to_make_the_store(newcomer: Machine) -> None:
    del newcomer.environment["CLAUDE_SECRETS_KEY_FILE"]
    done = newcomer.run("setup", "--yes")
    assert done.returncode == 1
    assert "[KEYRING_UNAVAILABLE]" in done.stdout
    assert "init --key-file" in done.stdout
    assert "Cursor: added" in done.stdout
    assert "not finished, because there is no store yet" in done.stderr
    assert "type to an agent" not in done.stdout
    assert not newcomer.store.exists()


def test_a_person_goes_through_every_step_with_enter(newcomer: Machine) -> None:
    before = tree(newcomer.home)
    with Running([*PROGRAM, "setup"], newcomer.home, newcomer.environment, columns=80) as running:
        for question in ("Make a recovery code", "Connect all of them", "Use ~/Claude", "Make these changes"):
            running.see(f"{question}.*] ")
            assert tree(newcomer.home) == before  # every question comes before the first change
            running.type("\n")
        shown = running.see(r"Press Enter.* ")
        assert "Cursor: added" in shown
        assert "\n" in shown.split("-")[-1]
        running.type("\x03")  # the code is valid: this must not say that nothing was changed
        assert running.ended() == 0
        assert "ok: Claude Desktop: connected in" in running.shown
        assert "uninstall --undo" in running.shown
        assert "Cancelled" not in running.shown
        assert all(len(line) <= 80 for line in running.shown.splitlines() if "/" not in line)


def test_a_second_setup_asks_for_no_change_if_there_is_none(newcomer: Machine) -> None:
    newcomer.run("setup", "--yes")
    before = tree(newcomer.home)
    with Running([*PROGRAM, "setup"], newcomer.home, newcomer.environment) as running:
        running.see("Make a recovery code.*] ")
        running.type("n\n")
        running.see("Connect all of them.*] ")
        running.type("\n")
        shown = running.see("Does each client start the server")
        assert "Make these changes" not in shown
        assert "Cursor: unchanged" in shown
        running.see("ok: Claude Desktop: connected")
        running.type("\x03")  # the other check is skipped, but the end is still said
        assert running.ended() == 130
        assert "Skipped. To check it later" in running.shown
        assert "In a project, run" in running.shown
    files = tree(newcomer.home)
    assert {name: files[name] for name in before if "secrets.db" not in name} == {
        name: data for name, data in before.items() if "secrets.db" not in name
    }


def test_a_person_can_decline_each_step(newcomer: Machine) -> None:
    with Running([*PROGRAM, "setup"], newcomer.home, newcomer.environment) as running:
        for question, answer in (
            ("Make a recovery code", "n"),
            ("Connect all of them", "n"),
            ("Connect Claude Desktop", "y"),
            ("Connect Cursor", "n"),
            ("Use ~/Claude", "n"),
            ("Another directory", ""),
            ("Make these changes", "y"),
        ):
            running.see(f"{question}.*(] |: )")
            running.type(f"{answer}\n")
        assert running.ended() == 0
        assert "Changed files" not in running.shown
        assert "will be made or changed" not in running.shown
    assert newcomer.store.exists()
    assert not (newcomer.home / ".cursor" / "mcp.json").exists()
    assert [*(newcomer.home / ".config" / "Claude").iterdir()] == []


def test_a_person_who_takes_nothing_changes_nothing(newcomer: Machine) -> None:
    before = tree(newcomer.home)
    with Running([*PROGRAM, "setup"], newcomer.home, newcomer.environment) as running:
        for question, answer in (
            ("Make a recovery code", ""),
            ("Connect all", ""),
            ("Use ~/Claude", ""),
            ("Make these changes", "n"),
        ):
            running.see(f"{question}.*] ")
            running.type(f"{answer}\n")
        assert running.ended() == 1
        assert "Nothing was changed." in running.shown
    assert tree(newcomer.home) == before


def test_doctor_starts_the_server_of_each_entry_and_says_what_is_wrong(newcomer: Machine) -> None:
    config = newcomer.home / ".cursor" / "mcp.json"
    newcomer.run("install", "cursor")
    content = json.loads(config.read_text())
    content["mcpServers"]["gone"] = {"command": "/nowhere/claude-secrets"}
    content["mcpServers"]["in-wsl"] = {"command": "wsl.exe", "args": ["claude-secrets"]}
    loading = {"PYTHONPATH": "/nowhere", "XDG_DATA_HOME": str(newcomer.home / ".local" / "share")}
    content["mcpServers"]["odd"] = {**content["mcpServers"]["secrets"], "env": loading}
    config.write_text(json.dumps(content))
    (newcomer.home / ".codex").mkdir()
    (newcomer.home / ".codex" / "config.toml").write_text("broken [\n")
    done = newcomer.run("doctor", "--json")
    assert done.returncode == 1
    found = {one["message"].partition(":")[0]: one for one in json.loads(done.stdout) if one["about"] == "client"}
    assert found["Cursor"]["state"] == "ok"
    assert "connected in" in found["Cursor"]["message"]
    gone = found["Cursor (`gone`)"]
    assert gone["state"] == "fail"
    assert "spawn /nowhere/claude-secrets ENOENT" in gone["message"]
    assert gone["hint"].endswith("install cursor")
    odd = found["Cursor (`odd`)"]
    assert (odd["state"], odd["message"].rpartition(": ")[2]) == ("warn", "PYTHONPATH")
    assert "was not tried" in done.stdout
    assert found["Codex"]["state"] == "fail"
    assert "line 1" in found["Codex"]["message"]


def test_doctor_starts_nothing_from_a_file_that_a_clone_could_have_planted(newcomer: Machine) -> None:
    project = newcomer.project("api", [])
    ran = newcomer.home / "ran"
    evil = project / "bin" / "claude-secrets"
    evil.parent.mkdir()
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o755)
    (project / "config.toml").write_text(f"[mcp_servers.secrets]\ncommand = '{evil}'\n")
    done = newcomer.run("doctor", at=project, environment={"CODEX_HOME": str(project)})
    assert "Codex: its configuration" in done.stdout
    assert not ran.exists()


def test_doctor_says_when_a_client_last_made_a_call(newcomer: Machine) -> None:
    project = newcomer.project("api", ["T"])
    newcomer.run("setup", "--yes")
    with Wire([*PROGRAM], project, newcomer.environment) as wire:
        wire.shake_hands(client="cursor-vscode")
        wire.text("list_secrets")
    findings = json.loads(newcomer.run("doctor", "--json").stdout)
    said = [one["message"] for one in findings if one["message"].startswith("Cursor:")]
    assert said[0].endswith("last call less than a minute ago")
