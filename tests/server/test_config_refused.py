"""A server whose `config.yml` is refused: it connects, reports the error at each call, and works after a correction."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_secrets.model import Access
from tests.program.test_end_to_end import ARGUMENTS, without_override
from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.posix import give_away, is_root, make_pipe
from tests.support.requirements import require_real
from tests.support.rounds import rounds

Fault = Callable[[Path, Path], object]
"""A function that breaks the `config.yml` at a path, for a person who works in a project."""


def link_into(config: Path, project: Path) -> None:
    inside = project / "config.yml"
    shutil.move(config, inside)
    config.symlink_to(inside)


def link_nowhere(config: Path, _: Path) -> None:
    config.unlink()
    config.symlink_to(config.with_name("gone"))


def pipe_instead(config: Path, _: Path) -> None:
    config.unlink()
    make_pipe(config)


def make_directory(config: Path, _: Path) -> None:
    config.unlink()
    config.mkdir()


FAULTS: dict[str, Fault] = {
    "no YAML": lambda config, _: config.write_text("store: ["),
    "an unknown key": lambda config, _: config.write_text("stoer: ~/other.db"),
    "a wrong value": lambda config, _: config.write_text("store: relative.db"),
    "not UTF-8": lambda config, _: config.write_bytes(b"store: \xff"),
    "too long": lambda config, _: config.write_bytes(b"#" * 20_000),
    "everybody writes it": lambda config, _: config.chmod(0o666),
    "another user's": lambda config, _: give_away(config, 4242),
    "a link into the project": link_into,
    "a link that leads nowhere": link_nowhere,
    "a directory": make_directory,
    "a named pipe": pipe_instead,
    "unreadable": lambda config, _: config.chmod(0),
    "a directory that cannot be listed": lambda config, _: config.parent.chmod(0),
    # This one comes last: its `config.yml` itself is valid, so a server that meets it has its settings from then on.
    "another name": lambda config, _: config.with_name("config.yaml").touch(),
}


@pytest.fixture(name="machine")
def machine_with_store_elsewhere(bare_machine: Machine) -> Machine:
    """A machine on which only `config.yml` names the person's store."""
    bare_machine.configure("presence: any", "store: ~/mine/secrets.db")
    bare_machine.store = bare_machine.home / "mine" / "secrets.db"
    return bare_machine.use_key_file()


def default_store(machine: Machine) -> Path:
    return machine.home / ".local" / "share" / "claude-secrets" / "secrets.db"


def correct(config: Path) -> None:
    """Replace `config.yml` with a valid file."""
    config.parent.chmod(0o700)
    shutil.rmtree(config.parent)
    config.parent.mkdir(mode=0o700)
    config.write_text("store: ~/mine/secrets.db\n")


SERVERS = rounds(4, len(FAULTS))
"""The servers that all faults are spread over. Each server starts with one fault, and meets others before the end."""


@pytest.mark.parametrize("faults", [[*FAULTS][number::SERVERS] for number in range(SERVERS)], ids=", ".join)
def test_a_server_that_starts_with_a_refused_config_says_so_at_each_call_until_it_is_corrected(
    machine: Machine, faults: list[str]
) -> None:
    project = machine.project("api")
    config = machine.home / ".config" / "claude-secrets" / "config.yml"
    wrapper = without_override()
    require_real("another user's" not in faults or is_root(), "root, who can give files away")
    machine.keep("TOKEN", "value", at=project, access=Access.READABLE)
    FAULTS[faults[0]](config, project)
    try:
        with machine.server(project, wrapper=wrapper) as wire:
            assert len(wire.request("tools/list", {})["result"]["tools"]) == 6
            for number, fault in enumerate(faults):
                if number:
                    correct(config)
                    FAULTS[fault](config, project)
                # The person's own commands ignore a file of another name.
                said = "" if fault == "another name" else said_to_the_person(machine, project, wrapper)
                for tool, arguments in [*ARGUMENTS.items()] * 2:
                    text = str(wire.call(tool, **arguments)["content"][0]["text"])
                    assert text.startswith("[ALLOWLIST_INVALID]"), fault
                    assert text.splitlines()[0] == said or not said, fault
            correct(config)
            assert wire.text("get_secret", name="TOKEN") == "value"
            assert wire.text("set_secret", name="T", value="v").startswith("Stored 'T'")
        assert wire.stderr == b""
    finally:
        config.parent.chmod(0o700)
    assert machine.store.exists()
    assert not default_store(machine).exists()


def said_to_the_person(machine: Machine, project: Path, wrapper: list[str]) -> str:
    """Return the first line of the error that the person's own commands print."""
    done = subprocess.run(
        [*wrapper, *PROGRAM, "list"], cwd=project, env=machine.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    return done.stderr.splitlines()[0].removeprefix("error: ")


def test_a_config_that_is_refused_later_denies_until_it_is_corrected(machine: Machine) -> None:
    project, config = machine.project("api"), machine.home / ".config" / "claude-secrets" / "config.yml"
    with machine.server(project) as wire:
        wire.text("set_secret", name="T", value="v")
        config.write_text("store: [")
        assert wire.code("get_secret", name="T") == "ALLOWLIST_INVALID"
        correct(config)
        assert wire.text("get_secret", name="T") == "v"


@pytest.mark.parametrize("starts_refused", [False, True], ids=["well at the start", "refused at the start"])
def test_a_server_never_goes_on_with_another_store_than_config_yml_names(
    machine: Machine, *, starts_refused: bool
) -> None:
    project, config = machine.project("api"), machine.home / ".config" / "claude-secrets" / "config.yml"
    if starts_refused:
        config.write_text("store: [")
    with machine.server(project) as wire:
        if starts_refused:
            assert wire.code("list_secrets") == "ALLOWLIST_INVALID"
            correct(config)
        wire.text("set_secret", name="T", value="v")
        for line in ("store: ~/other/secrets.db\n", "trust: ask\n"):
            config.write_text(line)
            for tool, arguments in ARGUMENTS.items():
                assert wire.code(tool, **arguments) == "STORE_UNAVAILABLE"
            assert "Restart the server" in wire.call("list_secrets")["content"][0]["text"]
        correct(config)
        assert wire.text("get_secret", name="T") == "v"
    assert not (machine.home / "other").exists()
    assert not default_store(machine).exists()


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_store_that_is_named_otherwise_does_not_depend_on_config_yml(machine: Machine, by: str) -> None:
    project, config = machine.project("api"), machine.home / ".config" / "claude-secrets" / "config.yml"
    named = str(machine.home / "mine" / "secrets.db")
    arguments = ["--store", named] if by == "argument" else []
    environment = {"CLAUDE_SECRETS_STORE": named} if by == "environment" else {}
    config.write_text("store: [")
    with machine.server(project, *arguments, environment=environment) as wire:
        assert wire.code("list_secrets") == "ALLOWLIST_INVALID"
        config.write_text("store: ~/other/secrets.db\n")
        wire.text("set_secret", name="T", value="v")
        assert json.loads(wire.text("list_secrets"))["names"] == ["T"]
    assert not (machine.home / "other").exists()


def test_a_directory_that_is_replaced_while_config_yml_is_refused_is_noticed(machine: Machine) -> None:
    project, config = machine.project("api"), machine.home / ".config" / "claude-secrets" / "config.yml"
    config.write_text("store: [")
    wire = Wire(PROGRAM, project, machine.environment)
    with wire:
        wire.shake_hands()
        assert wire.code("list_secrets") == "ALLOWLIST_INVALID"
        project.rename(project.with_name("moved"))
        machine.project("api")
        correct(config)
        assert wire.code("list_secrets") == "PROJECT_CONFLICT"
