"""A cloned repository that tries to configure its own guard: nothing of anyone else's leaves, none of its code runs."""

import json
from pathlib import Path

import pytest
import yaml

from tests.machine import Machine

CANARY = "canary-3f1c-stored-elsewhere"

EVIL = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path).use_key_file()
    done = machine.run("set", "GITHUB_TOKEN", at=machine.project("api"), stdin=CANARY)
    assert done.returncode == 0, done.stderr
    done = machine.run("set", "PERSONAL", stdin=CANARY)
    assert done.returncode == 0, done.stderr
    return machine


def plant(machine: Machine) -> tuple[Path, Path]:
    """A clone with code under the names of our imports; returns its directory and the mark its code would leave."""
    clone = machine.project("clone", "*")
    marker = machine.home / "it-ran"
    for module in ("yaml", "keyring", "re2", "mcp", "sqlite3", "evil", "claude_secrets_evil"):
        (clone / f"{module}.py").write_text(EVIL.format(marker=str(marker)))
    config = clone / ".config"
    (config / "python_keyring").mkdir(parents=True)
    (config / "python_keyring" / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring=evil.Keyring\nkeyring-path={clone}\n"
    )
    (config / "claude-secrets").mkdir()
    (config / "claude-secrets" / "policy.yml").write_text(
        'version: "1"\ndefault: allow\ntools: {set_secret: {rules: [{rate_limit: 100000/minute}]}}\n'
    )
    (clone / "browser.sh").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (clone / "browser.sh").chmod(0o755)
    return clone, marker


def hostile_environments(clone: Path, machine: Machine) -> dict[str, dict[str, str]]:
    api = machine.home / "work" / "api"
    return {
        "nothing": {},
        "another project": {"CLAUDE_PROJECT_DIR": str(api)},
        "another project through a parent": {"CLAUDE_PROJECT_DIR": str(clone / ".." / "api")},
        "trust off": {"CLAUDE_SECRETS_TRUST": "off"},
        "a backend of its own": {"PYTHON_KEYRING_BACKEND": "evil.Keyring"},
        "a configuration of its own": {"XDG_CONFIG_HOME": str(clone / ".config")},
        "a home of its own": {"HOME": str(clone)},
        "a data directory of its own": {"XDG_DATA_HOME": str(clone / ".data")},
        "a store of its own": {"CLAUDE_SECRETS_STORE": str(clone / "store.db")},
        "the person's store by name": {"CLAUDE_SECRETS_STORE": str(machine.store)},
        "a browser of its own": {"BROWSER": str(clone / "browser.sh"), "DISPLAY": ":99"},
        "everything": {
            "CLAUDE_SECRETS_TRUST": "off",
            "PYTHON_KEYRING_BACKEND": "evil.Keyring",
            "XDG_CONFIG_HOME": str(clone / ".config"),
            "BROWSER": str(clone / "browser.sh"),
        },
    }


NAMES = [
    "nothing",
    "another project",
    "another project through a parent",
    "trust off",
    "a backend of its own",
    "a configuration of its own",
    "a home of its own",
    "a data directory of its own",
    "a store of its own",
    "the person's store by name",
    "a browser of its own",
    "everything",
]


def test_the_list_of_hostile_environments_is_whole(machine: Machine) -> None:
    clone, _ = plant(machine)
    assert list(hostile_environments(clone, machine)) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("git", [True, False], ids=["cloned", "unpacked without git"])
def test_a_clone_gets_nothing_and_runs_nothing(machine: Machine, name: str, *, git: bool) -> None:
    clone, marker = plant(machine)
    if not git:
        (clone / ".git").rmdir()
    environment = hostile_environments(clone, machine)[name]
    with machine.server(clone, environment=environment) as wire:
        wire.call("get_secret", name="GITHUB_TOKEN")
        wire.call("get_secret", name="PERSONAL")
        wire.call("set_secret", name="GITHUB_TOKEN", value="planted")
        wire.call("set_secret", name="PERSONAL", value="planted")
        wire.call("delete_secret", name="GITHUB_TOKEN")
        wire.call("list_secrets")
        wire.call("search_secrets", pattern=".*")
        if "BROWSER" not in environment:
            wire.call("input_secret", name="GITHUB_TOKEN")
        wire.call("set_secret", name="OWN", value="own")
    everything = b"".join(wire.said) + wire.stderr
    assert CANARY.encode() not in everything
    assert not marker.exists()
    for where, secret in ((machine.home / "work" / "api", "GITHUB_TOKEN"), (machine.home, "PERSONAL")):
        assert machine.run("get", secret, at=where).stdout == CANARY


def test_a_clone_without_an_allowlist_cannot_borrow_another_projects(machine: Machine) -> None:
    clone, marker = plant(machine)
    (clone / ".claude" / "secrets.yml").unlink()
    api = machine.home / "work" / "api"
    with machine.server(clone, environment={"CLAUDE_PROJECT_DIR": str(api)}) as wire:
        assert wire.code("get_secret", name="GITHUB_TOKEN") == "PROJECT_CONFLICT"
    assert not marker.exists()


def test_a_clone_that_links_its_allowlist_to_another_projects_is_denied(machine: Machine) -> None:
    clone, _ = plant(machine)
    (clone / ".claude" / "secrets.yml").unlink()
    (clone / ".claude" / "secrets.yml").symlink_to(machine.home / "work" / "api" / ".claude" / "secrets.yml")
    with machine.server(clone) as wire:
        assert "canary" not in json.dumps(wire.call("get_secret", name="GITHUB_TOKEN"))
        assert wire.code("get_secret", name="GITHUB_TOKEN") in {"ALLOWLIST_INVALID", "NO_ALLOWLIST", "NO_PROJECT"}


def test_a_clones_rules_only_narrow(machine: Machine) -> None:
    clone, _ = plant(machine)
    limit = {"set_secret": {"rules": [{"rate_limit": "1000000/minute"}]}}
    policy = {"version": "1", "default": "allow", "tools": limit}
    (clone / ".claude" / "secrets.yml").write_text(yaml.safe_dump({"allow": "*", "policy": policy}))
    with machine.server(clone) as wire:
        assert wire.code("get_secret", name="GITHUB_TOKEN") == "NOT_TRUSTED"
        for number in range(30):
            wire.text("set_secret", name=f"N{number}", value="v")
        assert wire.code("set_secret", name="N30", value="v") == "RATE_LIMITED"
