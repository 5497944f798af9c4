"""`doctor` finds problems, and says what to do."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands.test_backup import with_passphrase
from tests.support import sqlite_attacker as attacker
from tests.support.machine import Machine
from tests.support.posix import skip_without
from tests.support.program import KERNEL, PLACES
from tests.support.program_places import make
from tests.support.wsl_stand_in import WslStandIn

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_doctor_says_what_to_do_in_every_line_that_is_not_ok(machine: Machine) -> None:
    project = machine.project("api", ["T"])
    well = machine.run("doctor", "--json", at=project)
    assert well.returncode == 0
    assert {finding["about"]: finding["state"] for finding in json.loads(well.stdout)} == {
        "project": "ok",
        "allowlist": "ok",
        "policy": "ok",
        "store": "ok",
        "key": "warn",  # it is the store's only key
        "asking": "ok",
        "client": "warn",  # none is registered
    }
    (project / ".claude" / "secrets.yml").write_text("allow: [\n")
    machine.key_file.unlink()
    ill = machine.run("doctor", "--json", at=project)
    assert ill.returncode == 1
    for finding in json.loads(ill.stdout):
        assert finding["state"] == "ok" or finding["hint"]


def told_by_doctor(machine: Machine, about: str, **environment: str) -> list[str]:
    """Return the warnings of `doctor`, with their hints."""
    found = json.loads(machine.run("doctor", "--json", environment=environment).stdout)
    return [f"{each['message']} {each['hint']}" for each in found if (each["about"], each["state"]) == (about, "warn")]


def test_doctor_says_which_settings_of_an_environment_do_not_count_and_where_to_put_them(machine: Machine) -> None:
    account, dotfiles = machine.home / ".config" / "claude-secrets", machine.home / "dotfiles" / "claude-secrets"
    dotfiles.mkdir(parents=True)
    (dotfiles / "config.yml").write_text("trust: off\nconsent: dialog\ndefault_access: readable\n")
    limit = {"set_secret": {"rules": [{"rate_limit": "90/minute"}]}}
    (dotfiles / "policy.yml").write_text(json.dumps({"version": "1", "default": "allow", "tools": limit}))
    assert "ln -s" not in told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent))[0]
    shutil.rmtree(account)
    (said,) = told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent))
    assert "trust, default_access of config.yml; the higher limit of set_secret of the policy." in said
    command = said.rpartition(": ")[2]
    assert command == f"ln -s {dotfiles} {account}"
    account.parent.mkdir(exist_ok=True)
    subprocess.run(["sh", "-c", command], check=True)
    assert told_by_doctor(machine, "policy", XDG_CONFIG_HOME=str(dotfiles.parent)) == []
    assert "trust off, consent dialog" in machine.run("doctor").stdout
    assert (
        "at most 90 calls a minute"
        in machine.run("policy", "explain", "set_secret", "A", at=machine.project("api")).stdout
    )


def test_doctor_tells_an_unusual_store_by_the_home_of_the_account(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    assert "not your usual store" not in machine.run("doctor").stdout
    elsewhere = {"HOME": str(machine.home / "elsewhere")}
    used = {**elsewhere, "CLAUDE_SECRETS_STORE": str(machine.store)}
    assert "not your usual store" not in machine.run("doctor", environment=used).stdout
    data = machine.home / "elsewhere" / "data"
    data.parent.mkdir()
    shutil.copytree(machine.store.parent, data / "claude-secrets")
    environment = {"XDG_DATA_HOME": str(data)}
    copied = str(data / "claude-secrets" / "secrets.db")
    for words, given, why in (
        ((), environment, "The environment (HOME or XDG_DATA_HOME) leads to this store."),
        ((), {"CLAUDE_SECRETS_STORE": copied}, "CLAUDE_SECRETS_STORE names this store."),
        (("--store", copied), {}, "--store names this store."),
    ):
        shown = machine.run(*words, "doctor", environment=given).stdout
        assert f"{why} It is not your usual store, {machine.store}." in shown
    own = machine.home / ".config" / "claude-secrets"
    (own / "config.yml").write_text("store: ~/elsewhere/data/claude-secrets/secrets.db\n")
    assert "not your usual store" not in machine.run("doctor", environment=environment).stdout


@pytest.mark.parametrize("place", ["key file's", "store's", "files'", "link's"])
def test_doctor_warns_of_directories_that_others_can_write(machine: Machine, place: str) -> None:
    machine.run("set", "T", stdin="v")
    own = machine.home / ".config" / "claude-secrets"
    (own / "config.yml").unlink()
    linked = machine.home / "dotfiles" / "deep"
    linked.mkdir(parents=True)
    (linked / "config.yml").touch()
    (own / "config.yml").symlink_to(linked / "config.yml")
    assert told_by_doctor(machine, "places") == []
    directory = {
        "key file's": machine.key_file.parent,
        "store's": machine.store.parent.parent,
        "files'": own.parent,
        "link's": linked.parent,
    }[place]
    mode = directory.stat().st_mode
    directory.chmod(0o777)
    (said,) = told_by_doctor(machine, "places")
    assert said.startswith(f"{directory}, on the path to ")
    assert said.endswith(f" can be written by others. chmod go-w {directory}")
    directory.chmod(0o1777)
    assert told_by_doctor(machine, "places") == []
    directory.chmod(mode)


def test_doctor_warns_of_a_file_that_others_can_write(machine: Machine) -> None:
    machine.run("set", "T", stdin="v")
    path = machine.key_file
    path.chmod(0o666)
    assert told_by_doctor(machine, "places") == [f"{path} can be written by others. chmod go-w {path}"]
    path.chmod(0o600)
    assert told_by_doctor(machine, "places") == []


def test_doctor_finds_a_row_that_was_changed(machine: Machine) -> None:
    import sqlite3

    machine.run("set", "T", stdin="one")
    machine.run("set", "T", stdin="two")
    connection = sqlite3.connect(machine.store)
    with connection:
        connection.execute("DELETE FROM versions WHERE version = 1")
    connection.close()
    done = machine.run("doctor")
    assert (done.returncode, "STORE_TAMPERED" in done.stdout) == (1, True)


def test_doctor_looks_deep(machine: Machine, tmp_path: Path) -> None:
    for name in ("A", "B"):
        machine.run("set", name, stdin="v")
    assert "Every version of every record opens" in machine.run("doctor", "--deep").stdout
    with attacker.attacker(machine.store) as connection:
        connection.execute("UPDATE versions SET token = x'00' WHERE rowid = 2")
    done = machine.run("doctor", "--deep")
    assert (done.returncode, "'B' of scope 'shared' is lost" in done.stdout) == (1, True)
    assert "backup FILE" in done.stdout
    saved = with_passphrase(machine, str(tmp_path / "b"))
    assert (saved.returncode, "warning: 'B' of scope 'shared' is lost" in saved.stderr) == (1, True)
    assert "1 secret, 1 version" in saved.stdout


def test_doctor_says_how_input_secret_can_ask(machine: Machine) -> None:
    skip_without("shell for the stand-ins")

    def asking(**environment: str) -> dict[str, str]:
        done = machine.run("doctor", "--json", environment=environment)
        [finding] = [each for each in json.loads(done.stdout) if each["about"] == "asking"]
        return {key: value or "" for key, value in finding.items()}

    without = asking()
    assert without["message"].endswith("no browser and no dialog can be opened.")
    assert without["hint"].startswith("You can also enter a value in a")
    assert without["hint"].endswith("set NAME")
    programs = make(machine.home / "programs")
    for name, said in (("zenity", "in a dialog"), ("firefox", str(programs / "firefox"))):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
        found = asking(**{"DISPLAY": ":77", PLACES: str(programs)})
        assert said in found["message"]
        assert found["hint"] == ""
    wsl = WslStandIn(make(machine.home / "wsl"))
    environment = {KERNEL: str(wsl.kernel), "WSL_DISTRO_NAME": "Ubuntu"}
    environment[PLACES] = f"{wsl.system}:{make(machine.home / 'wsl' / 'none')}"
    assert asking(**environment)["message"].endswith("rundll32.exe.")
    wsl.mirror()
    assert "WSL mirrors the network" in asking(**environment)["message"]
