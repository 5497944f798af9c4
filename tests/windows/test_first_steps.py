"""README's first steps on Windows, and what people do next with their secrets.

Only the first steps start a process for each command.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.warm_program import WarmProgram

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

PRINT = "import os; print('the token is ' + os.environ['GITEA_TOKEN'])"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with an empty project in its directory `api`."""
    machine = Machine(tmp_path)
    (machine.home / "api").mkdir()
    return machine


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProgram]:
    with WarmProgram(tmp_path_factory.mktemp("streams")) as program:
        yield program


@pytest.fixture
def run(machine: Machine, program: WarmProgram) -> Callable[..., str]:
    """Run commands in one process, for a person who has a key file."""

    def run(*words: str, stdin: str = "") -> str:
        done = program.run(*words, at=machine.home / "api", environment=machine.environment, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("init", "--key-file", str(machine.home / "my.key"))
    return run


def run_in_own_process(machine: Machine, *words: str, stdin: str | None = None) -> str:
    done = machine.run(*words, at=machine.home / "api", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_first_secret_is_stored_and_used_without_being_shown(machine: Machine) -> None:
    run_in_own_process(machine, "init", "--key-file", str(machine.home / "my.key"))
    run_in_own_process(machine, "allow", "GITEA_TOKEN")
    run_in_own_process(machine, "set", "GITEA_TOKEN", stdin="canary-of-gitea\n")
    run_in_own_process(machine, "set", "EMOJI", stdin="canary-🔑\n")
    assert machine.store.exists()
    for name, value in (("GITEA_TOKEN", "canary-of-gitea"), ("EMOJI", "canary-🔑")):
        assert run_in_own_process(machine, "get", name) == value
    shown = run_in_own_process(machine, "exec", "--redact", "--only", "GITEA_TOKEN", "--", sys.executable, "-c", PRINT)
    assert shown == "the token is [secret://GITEA_TOKEN]\n"
    assert "fail" not in run_in_own_process(machine, "doctor")


def test_versions_come_back_and_the_log_is_intact(run: Callable[..., str]) -> None:
    for value in ("one", "two"):
        run("set", "T", stdin=value)
    run("restore", "T")
    assert run("get", "T") == "one"
    run("delete", "T", "--yes")
    run("restore", "T")
    assert len(json.loads(run("history", "T", "--json"))) >= 3
    run("purge", "T", "--yes")
    assert "intact" in run("log", "--verify")
    assert json.loads(run("list", "--json")) == []


def test_a_dotenv_file_keeps_its_line_ends(machine: Machine, run: Callable[..., str]) -> None:
    file = machine.home / "api" / ".env"
    file.write_bytes(b"# mine\r\nAPI_TOKEN=canary-of-the-file\r\nEMPTY=\r\n")
    run("import", str(file), "--rewrite", "--yes")
    assert file.read_bytes() == b"# mine\r\nAPI_TOKEN=secret://API_TOKEN\r\nEMPTY=\r\n"
    assert run("get", "API_TOKEN") == "canary-of-the-file"


def test_a_backup_is_verified_and_restored_beside_the_store(machine: Machine, run: Callable[..., str]) -> None:
    run("set", "T", stdin="canary")
    file, words = str(machine.home / "b.backup"), "long and unusual words for tests"
    run("backup", file, "--backup-passphrase-fd", "0", stdin=words)
    assert "intact" in run("backup", "--verify", file, "--backup-passphrase-fd", "0", stdin=words)
    run("set", "T", stdin="later")
    new_key = str(machine.home / "new.key")
    restore = ["backup", "restore", file, "--aside", "--yes", "--key-file", new_key, "--backup-passphrase-fd", "0"]
    run(*restore, stdin=words)
    assert run("get", "T") == "canary"
