"""README's first steps on Windows, and what people do next with their secrets."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.machine import Machine

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

PRINT = "import os; print('the token is ' + os.environ['GITEA_TOKEN'])"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a key file, and an empty project in its directory `api`."""
    machine = Machine(tmp_path)
    (machine.home / "api").mkdir()
    run(machine, "init", "--key-file", str(machine.home / "my.key"))
    return machine


def run(machine: Machine, *arguments: str, stdin: str | None = None) -> str:
    done = machine.run(*arguments, at=machine.home / "api", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_first_secret_is_stored_and_used_without_being_shown(machine: Machine) -> None:
    run(machine, "allow", "GITEA_TOKEN")
    run(machine, "set", "GITEA_TOKEN", stdin="canary-of-gitea\n")
    run(machine, "set", "EMOJI", stdin="canary-🔑\n")
    assert machine.store.exists()
    assert (run(machine, "get", "GITEA_TOKEN"), run(machine, "get", "EMOJI")) == ("canary-of-gitea", "canary-🔑")
    shown = run(machine, "exec", "--redact", "--only", "GITEA_TOKEN", "--", sys.executable, "-c", PRINT)
    assert shown == "the token is [secret://GITEA_TOKEN]\n"
    assert "fail" not in run(machine, "doctor")


def test_versions_come_back_and_the_log_is_intact(machine: Machine) -> None:
    for value in ("one", "two"):
        run(machine, "set", "T", stdin=value)
    run(machine, "restore", "T")
    assert run(machine, "get", "T") == "one"
    run(machine, "delete", "T", "--yes")
    run(machine, "restore", "T")
    assert len(json.loads(run(machine, "history", "T", "--json"))) >= 3
    run(machine, "purge", "T", "--yes")
    assert "intact" in run(machine, "log", "--verify")
    assert json.loads(run(machine, "list", "--json")) == []


def test_a_dotenv_file_keeps_its_line_ends(machine: Machine) -> None:
    file = machine.home / "api" / ".env"
    file.write_bytes(b"# mine\r\nAPI_TOKEN=canary-of-the-file\r\nEMPTY=\r\n")
    run(machine, "import", str(file), "--rewrite", "--yes")
    assert file.read_bytes() == b"# mine\r\nAPI_TOKEN=secret://API_TOKEN\r\nEMPTY=\r\n"
    assert run(machine, "get", "API_TOKEN") == "canary-of-the-file"


def test_a_backup_is_verified_and_restored_beside_the_store(machine: Machine) -> None:
    run(machine, "set", "T", stdin="canary")
    file, words = str(machine.home / "b.backup"), "long and unusual words for tests"
    run(machine, "backup", file, "--backup-passphrase-fd", "0", stdin=words)
    assert "intact" in run(machine, "backup", "--verify", file, "--backup-passphrase-fd", "0", stdin=words)
    run(machine, "set", "T", stdin="later")
    new_key = str(machine.home / "new.key")
    restore = ["backup", "restore", file, "--aside", "--yes", "--key-file", new_key, "--backup-passphrase-fd", "0"]
    run(machine, *restore, stdin=words)
    assert run(machine, "get", "T") == "canary"
