"""The key in the Credential Manager of Windows.

These tests use the entries of the account that runs them, and remove them. They run only if `TESTS_CREDENTIAL_MANAGER`
is set, which says that the account is a throw-away one.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets.windows_profile import profile_directory
from tests.support.machine import DEADLINE, Machine

pytestmark = [
    pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows"),
    pytest.mark.skipif("TESTS_CREDENTIAL_MANAGER" not in os.environ, reason="the account may be a developer's own"),
]


_NOT_FOUND = 1168


def run(machine: Machine, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """Run the program itself, which may use the account's own Credential Manager."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "claude_secrets", *arguments, "--store", str(machine.store)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=machine.project("api"),
        env=machine.environment,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "canary" not in done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def scripts_may() -> Iterator[None]:
    """Let scripts of the account run the person's commands."""
    account = profile_directory()
    assert account is not None
    config = account / ".claude-secrets" / "config.yml"
    config.parent.mkdir(exist_ok=True)
    config.write_text("presence: any\n")
    yield
    config.unlink()


def entries() -> set[str]:
    """Return the names of this program's entries in Credential Manager."""
    win32cred = importlib.import_module("win32ctypes.pywin32.win32cred")  # other systems do not have it
    failure: type[Exception] = importlib.import_module("win32ctypes.pywin32.pywintypes").error
    try:
        names = {str(entry["TargetName"]) for entry in win32cred.CredEnumerate()}
    except failure as error:
        if error.args[0] != _NOT_FOUND:
            raise
        return set()
    return {name for name in names if "claude-secrets" in name}


def test_a_key_is_made_replaced_and_removed(tmp_path: Path) -> None:
    machine, before = Machine(tmp_path), entries()
    run(machine, "set", "T", stdin="canary")
    (first,) = entries() - before
    assert run(machine, "get", "T") == "canary"
    run(machine, "key", "rotate")
    (second,) = entries() - before
    assert (second != first, run(machine, "get", "T")) == (True, "canary")
    (slot,) = [slot["slot"] for slot in json.loads(run(machine, "key", "list", "--json"))]
    assert second.endswith(f".{slot}")
    run(machine, "key", "add-file", str(tmp_path / "my.key"))
    run(machine, "key", "remove", slot, "--yes")
    assert (entries() - before, run(machine, "get", "T")) == (set(), "canary")
    (tmp_path / "my.key").unlink()
    assert run(machine, "get", "T", code=4) == ""


def test_setup_makes_the_key_and_connects_a_client(tmp_path: Path) -> None:
    machine, before = Machine(tmp_path), entries()
    roaming = machine.home / "AppData" / "Roaming"
    (roaming / "Claude").mkdir(parents=True)
    machine.environment |= {"APPDATA": str(roaming), "LOCALAPPDATA": str(machine.home / "AppData" / "Local")}
    machine.environment["PATH"] = ""
    done = json.loads(run(machine, "setup", "--yes", "--json"))
    assert done["store"]["works"]
    assert [check["state"] for check in done["checks"]] == ["ok"]
    assert "6 tools" in done["checks"][0]["message"]
    assert len(entries() - before) == 1
    run(machine, "uninstall", "--all", "--purge-store", "--yes", stdin="0\n")
    assert entries() == before
    assert not (roaming / "Claude" / "claude_desktop_config.json").exists()
