"""The whole program with real parts: a gnome-keyring over D-Bus, Chromium for the page, and the official client."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestURLParams, ElicitResult, TextContent

from tests.support.chromium import Browser
from tests.support.machine import PROGRAM, Machine

CANARY = "typed-canary-91d2\nsecond line"


def test_set_and_get_need_no_setup_where_a_keyring_works(tmp_path: Path, unlocked_keyring: dict[str, str]) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    with machine.server(project, environment=unlocked_keyring) as wire:
        assert wire.text("set_secret", name="T", value="v") == "Stored 'T' (version 1)."
    with machine.server(project, environment=unlocked_keyring) as wire:
        assert wire.text("get_secret", name="T") == "v"
    assert machine.run("get", "T", at=project, environment=unlocked_keyring).stdout == "v"
    assert b"canary" not in machine.store.read_bytes()


def test_a_locked_keyring_is_told_apart_and_makes_no_key(tmp_path: Path, locked_keyring: dict[str, str]) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    with machine.server(project, environment=locked_keyring) as wire:
        assert wire.code("set_secret", name="T", value="v") == "KEYRING_LOCKED"
    done = machine.run("set", "T", at=project, stdin="v", environment=locked_keyring)
    assert (done.returncode, done.stderr.startswith("error: [KEYRING_LOCKED]")) == (4, True)
    assert not machine.store.exists()


def test_without_a_keyring_the_error_names_the_one_command_that_helps(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    absent = {"XDG_RUNTIME_DIR": str(tmp_path / "empty"), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    with machine.server(project, environment=absent) as wire:
        result = wire.call("set_secret", name="T", value="v")
        assert result["isError"]
        assert result["content"][0]["text"].startswith("[KEYRING_UNAVAILABLE]")
        assert "init --key-file" in result["content"][0]["text"]
    assert not machine.store.exists()
    done = machine.run("set", "T", at=project, stdin="v", environment=absent)
    assert (done.returncode, "init --key-file" in done.stderr) == (4, True)


def test_a_store_never_gets_a_new_key_when_its_keyring_is_gone(
    tmp_path: Path, unlocked_keyring: dict[str, str]
) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    with machine.server(project, environment=unlocked_keyring) as wire:
        wire.text("set_secret", name="T", value="v")
    before = machine.store.read_bytes()
    absent = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    with machine.server(project, environment=absent) as wire:
        assert wire.code("set_secret", name="T", value="w") == "KEYRING_UNAVAILABLE"
        assert wire.code("get_secret", name="T") == "KEYRING_UNAVAILABLE"
    assert machine.store.read_bytes() == before


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_person_types_the_value_into_the_page_and_the_model_never_sees_it(
    tmp_path: Path, browser: Browser, mode: str
) -> None:
    machine = Machine(tmp_path).use_key_file()
    project = machine.project("api", [{"name": "TOKEN", "about": "Test mode only"}])
    urls: list[str] = []
    shown: list[str] = []

    def person(url: str) -> None:
        with browser.page(url) as page:
            page.get_by_role("button", name="Continue").click()
            shown.append(page.inner_text("body"))
            page.get_by_role("textbox").fill(CANARY)
            page.get_by_role("button", name="Store").click()
            shown.append(page.inner_text("body"))

    async def elicit(_context: object, params: object) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        urls.append(params.url)
        threading.Thread(target=person, args=(params.url,), daemon=True).start()
        return ElicitResult(action="accept")

    said = run_session(machine, project, mode, elicit, name="TOKEN", prompt="for <b>tests</b>")
    assert said == ["Stored 'TOKEN' (version 1). The value went straight to the store."]
    assert "TOKEN" in shown[0]
    assert "Test mode only" in shown[0]
    assert "for <b>tests</b>" in shown[0]
    assert str(project) in shown[0]
    assert machine.run("get", "TOKEN", at=project).stdout == CANARY
    assert "typed-canary" not in json.dumps([urls, said])


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_person_who_says_no_to_the_client_stores_nothing(tmp_path: Path, mode: str, action: str) -> None:
    machine = Machine(tmp_path).use_key_file()
    project = machine.project("api")

    async def elicit(_context: object, _params: object) -> ElicitResult:
        return ElicitResult.model_validate({"action": action})

    said = run_session(machine, project, mode, elicit, name="TOKEN")
    assert said[0].startswith("[CANCELLED]")
    assert machine.run("list", "--json", at=project).stdout.count("TOKEN") == 0


def run_session(
    machine: Machine, project: Path, mode: str, elicit: Callable[..., object], **arguments: str
) -> list[str]:
    """Call input_secret with the official client, which answers elicitations with `elicit`; return the texts it got."""
    parameters = StdioServerParameters(
        command=PROGRAM[0], args=PROGRAM[1:], env=dict(machine.environment), cwd=str(project)
    )

    async def session() -> list[str]:
        async with Client(parameters, mode=mode, elicitation_callback=elicit) as client:  # type: ignore[arg-type]  # the callback's context is of no interest here
            result = await client.call_tool("input_secret", arguments)
            return [block.text for block in result.content if isinstance(block, TextContent)]

    with anyio.from_thread.start_blocking_portal() as portal:
        return portal.call(session)
