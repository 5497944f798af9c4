"""Dialogs, from a tool call to the store, with the real server, real zenity and kdialog, and an invisible display."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.display import Screen
from tests.support.keyrings import wait_until
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire
from tests.support.posix import skip_without
from tests.support.program import LOADED, PLACES
from tests.support.program_places import make
from tests.support.requirements import require

skip_without("X displays")
assert sys.platform != "win32"

PATIENCE = 60.0
PLAIN = "^Claude Secrets($| —)"
"""The titles of the dialogs for a value and for consent."""
CONTENT = b"# Ours.\nallow:\n  - OLD  # an old one\n"


@pytest.fixture(params=["zenity", "kdialog"])
def desk(request: pytest.FixtureRequest, machine: Machine, display: str) -> Iterator["Desk"]:
    desk = Desk(machine, display, request.param)
    with desk.wire:
        yield desk
    assert not desk.windows(), "a dialog outlived the server"
    assert desk.loaded.read_text() == "", "a dialog needed files of the program after they were loaded"


class Desk:
    """A server on a desktop with one dialog program and no browser, and the person who uses it."""

    def __init__(self, machine: Machine, display: str, program: str) -> None:
        self.program = program
        self.project = machine.project("clone")
        self.screen = Screen(display)
        programs = make(machine.home / "programs")
        (programs / program).symlink_to(require(program))
        self.loaded = machine.home / "loaded"
        environment = {
            LOADED: str(self.loaded),
            PLACES: str(programs),
            "DISPLAY": display,
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        }
        self.wire = Wire(PROGRAM, self.project, {**machine.environment, **environment})
        self.wire.shake_hands()
        wait_until(self.loaded.exists, "the modules are loaded")

    def ask(self, tool: str, **arguments: str) -> int:
        """Call a tool and return the window in which the person is asked."""
        call = {"name": tool, "arguments": arguments}
        self.wire.send({"jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": call})
        wait_until(self.windows, "the dialog is shown", patience=PATIENCE)
        wait_until(lambda: len(set(self.screen.picture())) > 4, "it has been drawn", patience=PATIENCE)
        return self.windows()[-1]

    def choice(self) -> int:
        """Return the window in which the person chooses who may read the value."""
        wait_until(lambda: self.screen.windows("^Claude Secrets: who"), "the choice is shown", patience=PATIENCE)
        wait_until(lambda: len(set(self.screen.picture())) > 4, "it has been drawn", patience=PATIENCE)
        return self.screen.windows("^Claude Secrets: who")[-1]

    def next(self, title: str) -> int:
        """Wait for the next window with this title, and return it."""
        wait_until(lambda: self.screen.windows(title), "the next dialog is shown", patience=PATIENCE)
        wait_until(lambda: len(set(self.screen.picture())) > 4, "it has been drawn", patience=PATIENCE)
        return self.screen.windows(title)[-1]

    def windows(self) -> list[int]:
        return self.screen.windows("^Claude Secrets")

    def yes(self, window: int) -> None:
        self.screen.press(window, *{"zenity": ["Tab", "Return"], "kdialog": ["Down", "Return"]}[self.program])

    def answer(self) -> str:
        while (message := self.wire.receive()).get("id") != "q":
            pass
        return str(message["result"]["content"][0]["text"])


def test_a_yes_in_a_dialog_lets_the_project_use_the_secret(machine: Machine, desk: Desk) -> None:
    machine.keep("TOKEN", "canary")
    desk.yes(desk.ask("get_secret", name="TOKEN"))
    assert desk.answer() == "canary"
    assert '"channel": "dialog"' in machine.run("log", "--json").stdout
    assert machine.run("projects").stdout == "~/work/clone\n  TOKEN\n"


def test_a_closed_dialog_is_a_no(machine: Machine, desk: Desk) -> None:
    machine.keep("TOKEN", "canary")
    desk.screen.press(desk.ask("get_secret", name="TOKEN"), "Escape")
    said = desk.answer()
    assert said.startswith("[NOT_TRUSTED]")
    assert "said no" in said


def test_a_value_is_typed_into_a_dialog_and_who_may_read_it_chosen(machine: Machine, desk: Desk) -> None:
    for name, access in (("OURS", "use-only"), ("THEIRS", "readable")):
        window = desk.ask("input_secret", name=name, prompt="for <b>tests</b> $(id)")
        desk.screen.type(window, "typed canary $(id)")
        desk.screen.press(window, "Return")
        choice = desk.choice()
        if access == "readable":
            desk.yes(choice)
        else:
            desk.screen.press(choice, "Return")  # Enter chooses No
        assert desk.answer() == f"Stored '{name}' (version 1). The value went straight to the store."
        assert machine.run("get", name, at=desk.project).stdout == "typed canary $(id)"
        stored = machine.run("list").stdout.splitlines()
        assert any(name in line and access in line for line in stored), stored


def test_a_dialog_for_a_value_that_is_closed_stores_nothing(machine: Machine, desk: Desk) -> None:
    desk.screen.press(desk.ask("input_secret", name="NEW"), "Escape")
    assert desk.answer().startswith("[CANCELLED]")
    assert machine.run("list", "--json").stdout == "[]\n"


@pytest.mark.parametrize("tool", ["get_secret", "input_secret"])
def test_a_dialog_goes_with_the_call(machine: Machine, desk: Desk, tool: str) -> None:
    machine.keep("TOKEN", "canary")
    name = "TOKEN" if tool == "get_secret" else "NEW"
    desk.ask(tool, name=name)
    desk.wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q"}})
    wait_until(lambda: not desk.windows(), "the dialog is gone", patience=PATIENCE)
    desk.ask(tool, name=name)
    assert desk.wire.process.stdin
    desk.wire.process.stdin.close()
    wait_until(lambda: not desk.windows(), "the dialog is gone", patience=PATIENCE)
    assert desk.wire.process.wait(DEADLINE) == 0


def not_listed(desk: Desk) -> Path:
    """Write an allowlist without the name, and return the file."""
    file = desk.project / ".claude" / "secrets.yml"
    file.write_bytes(CONTENT)
    return file


def test_a_yes_and_a_value_add_the_name_and_store_the_value(machine: Machine, desk: Desk) -> None:
    file = not_listed(desk)
    window = desk.ask("input_secret", name="NEW", prompt="for <b>tests</b> $(id)")
    assert desk.screen.title(window).startswith("Claude Secrets: add to the allowlist")
    desk.yes(window)
    window = desk.next(PLAIN)
    desk.screen.type(window, "typed canary")
    desk.screen.press(window, "Return")
    desk.screen.press(desk.choice(), "Return")
    assert desk.answer().endswith("The person added the name to the allowlist.")
    assert file.read_bytes() == CONTENT.replace(b"old one\n", b"old one\n  - NEW\n")
    assert machine.run("get", "NEW", at=desk.project).stdout == "typed canary"
    assert '"channel": "dialog"' in machine.run("log", "--json", "--tool", "allow").stdout


@pytest.mark.parametrize("key", ["Return", "Escape"])
def test_enter_and_escape_do_not_add_the_name(machine: Machine, desk: Desk, key: str) -> None:
    file = not_listed(desk)
    desk.screen.press(desk.ask("input_secret", name="NEW"), key)
    assert desk.answer() == "[CANCELLED] The person refused; 'NEW' was not stored."
    assert desk.wire.code("input_secret", name="NEW") == "CANCELLED"
    assert file.read_bytes() == CONTENT
    assert machine.run("list", "--json").stdout == "[]\n"


def test_a_yes_without_a_value_adds_nothing(machine: Machine, desk: Desk) -> None:
    file = not_listed(desk)
    desk.yes(desk.ask("input_secret", name="NEW"))
    desk.screen.press(desk.next(PLAIN), "Escape")
    assert desk.answer().startswith("[CANCELLED]")
    assert file.read_bytes() == CONTENT
    assert machine.run("list", "--json").stdout == "[]\n"


@pytest.mark.parametrize("consents", [True, False], ids=["yes", "no"])
def test_another_projects_secret_needs_a_further_consent(machine: Machine, desk: Desk, *, consents: bool) -> None:
    file, other = not_listed(desk), machine.project("other")
    machine.keep("NEW", "canary", at=other)
    desk.yes(desk.ask("input_secret", name="NEW"))
    window = desk.next(PLAIN)
    desk.screen.type(window, "typed")
    desk.screen.press(window, "Return")
    desk.screen.press(desk.choice(), "Return")
    wait_until(lambda: not desk.screen.windows("^Claude Secrets: who"), "the choice is gone", patience=PATIENCE)
    window = desk.next(PLAIN)
    if consents:
        desk.yes(window)
        assert desk.answer().startswith("Stored 'NEW' (version 2).")
    else:
        desk.screen.press(window, "Escape")
        assert desk.answer().startswith("[NOT_TRUSTED]")
    assert (b"- NEW" in file.read_bytes()) is consents
    assert machine.run("get", "NEW", at=other).stdout == ("typed" if consents else "canary")
