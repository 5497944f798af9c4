"""How input_secret asks the person: also with no answer, with several answers, or when the server ends."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from claude_secrets.errors import Code, InputError
from claude_secrets.model import Access, Call, Entered, InputQuestion, Refused, Tool
from claude_secrets.prompt import page
from claude_secrets.prompt.dialog import Dialogs
from claude_secrets.server import app
from claude_secrets.server.ask_value import ValuePrompt
from claude_secrets.server.question_limits import QuestionLimits
from claude_secrets.server.unanswered import PAGES_LIMIT
from tests.support.chromium import Browser
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire
from tests.support.program import KERNEL, PLACES
from tests.support.program_places import make
from tests.support.store_world import Agent, World, at
from tests.support.wsl_stand_in import WslStandIn

URLS: dict[str, Any] = {"elicitation": {"url": {}}}
FORMS: dict[str, Any] = {"elicitation": {}}


def connect(machine: Machine, project: Path, capabilities: dict[str, Any], **environment: str) -> Wire:
    wire = Wire(PROGRAM, project, {**machine.environment, **environment})
    wire.shake_hands(capabilities=capabilities)
    return wire


def ask(wire: Wire, name: str, request_id: str) -> str:
    """Call input_secret, accept its elicitation, and return the page's address; the call continues to wait."""
    call = {"name": "input_secret", "arguments": {"name": name}}
    wire.send({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": call})
    question = wire.receive()
    assert question["method"] == "elicitation/create", question
    assert question["params"]["mode"] == "url"
    wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
    return str(question["params"]["url"])


def answer_of(wire: Wire, request_id: str) -> str:
    while (message := wire.receive()).get("id") != request_id:
        pass
    return str(message["result"]["content"][0]["text"])


def enter(browser: Browser, url: str, value: str) -> None:
    with browser.page(url) as shown:
        shown.get_by_role("button", name="Continue").click()
        shown.get_by_role("textbox").fill(value)
        shown.get_by_role("button", name="Store").click()


def is_gone(url: str) -> bool:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_the_end_of_the_input_answers_a_waiting_call_and_closes_its_page(machine: Machine) -> None:
    with connect(machine, machine.project("api"), URLS) as wire:
        url = ask(wire, "TOKEN", "waiting")
        assert wire.process.stdin
        wire.process.stdin.close()
        assert answer_of(wire, "waiting").startswith("[CANCELLED]")
        assert wire.process.wait(timeout=DEADLINE) == 0
        assert is_gone(url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_answers_a_waiting_call_and_closes_its_page(machine: Machine, number: signal.Signals) -> None:
    with connect(machine, machine.project("api"), URLS) as wire:
        url = ask(wire, "TOKEN", "waiting")
        wire.process.send_signal(number)
        assert answer_of(wire, "waiting").startswith("[CANCELLED]")
        assert wire.process.wait(timeout=DEADLINE) == 0
        assert is_gone(url)


def test_a_client_that_stops_reading_is_left_without_a_fuss(machine: Machine) -> None:
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    process = subprocess.Popen(
        PROGRAM,
        cwd=machine.project("api"),
        env=machine.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(ping)
        process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):
            while process.poll() is None:
                process.stdin.write(ping)
        assert process.wait(timeout=DEADLINE) == 0
        assert process.stderr.read() == b""


def test_a_call_that_was_cancelled_is_not_waited_for_at_the_end(machine: Machine) -> None:
    with connect(machine, machine.project("api"), URLS) as wire:
        ask(wire, "TOKEN", "waiting")
        cancelled = {"requestId": "waiting", "reason": "enough"}
        wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
        wire.text("list_secrets")
        assert wire.close() == 0
        assert b"waiting" not in b"".join(wire.said[-1:])


def test_a_second_call_joins_the_page_and_both_hear_of_the_value(machine: Machine, browser: Browser) -> None:
    project = machine.project("api")
    with connect(machine, project, URLS) as wire:
        url = ask(wire, "TOKEN", "first")
        assert ask(wire, "TOKEN", "second") == url
        enter(browser, url, "typed")
        texts: dict[str, str] = {}
        while len(texts) < 2:
            message = wire.receive()
            if message.get("id") in ("first", "second"):
                texts[message["id"]] = message["result"]["content"][0]["text"]
        assert set(texts.values()) == {"Stored 'TOKEN' (version 1). The value went straight to the store."}
    assert machine.run("get", "TOKEN", at=project).stdout == "typed"


def test_no_more_than_five_pages_wait_at_the_same_time(machine: Machine) -> None:
    with connect(machine, machine.project("api"), URLS) as wire:
        urls = {ask(wire, f"T{number}", f"call-{number}") for number in range(5)}
        assert len(urls) == 5
        assert wire.code("input_secret", name="T6") == "WAITING"


def test_a_client_that_only_has_forms_is_not_asked_to_open_an_address(machine: Machine) -> None:
    with connect(machine, machine.project("api"), FORMS) as wire:
        assert wire.code("input_secret", name="TOKEN") == "NO_INPUT_CHANNEL"


def test_without_elicitation_the_graphical_browser_is_opened_and_browser_is_ignored(
    machine: Machine, browser: Browser
) -> None:
    project = machine.project("api")
    programs = make(machine.home / "programs")
    opened, ignored = machine.home / "opened", machine.home / "ignored"
    stand_in(programs / "xdg-open", f'printf %s "$1" > {opened}.draft; /bin/mv {opened}.draft {opened}')
    stand_in(project / "evil", f"touch {ignored}")
    environment = {
        "PATH": f"{project}:{machine.environment['PATH']}",
        PLACES: str(programs),
        "DISPLAY": ":77",
        "BROWSER": str(project / "evil"),
    }
    stand_in(project / "xdg-open", f"touch {ignored}")
    with connect(machine, project, {}, **environment) as wire:
        call = {"name": "input_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "browser", "method": "tools/call", "params": call})
        end = time.monotonic() + DEADLINE
        while not opened.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        enter(browser, opened.read_text(), "typed")
        assert answer_of(wire, "browser").startswith("Stored 'TOKEN' (version 1).")
    assert not ignored.exists()


def test_from_wsl_a_browser_on_windows_comes_by_the_entry_file_to_a_keyed_page(
    machine: Machine, browser: Browser
) -> None:
    """A stand-in for WSL hands the file to a real browser, as Windows would."""
    project, stand_in_for_wsl = machine.project("api"), WslStandIn(make(machine.home / "wsl"))
    environment = {
        PLACES: f"{stand_in_for_wsl.system}:{make(machine.home / 'wsl' / 'none')}",
        KERNEL: str(stand_in_for_wsl.kernel),
        "WSL_DISTRO_NAME": "Ubuntu",
        "TMPDIR": str(make(machine.home / "temporary")),
    }
    with connect(machine, project, {}, **environment) as wire:
        call = {"name": "input_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "page", "method": "tools/call", "params": call})
        end = time.monotonic() + DEADLINE
        while not stand_in_for_wsl.said.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        address = stand_in_for_wsl.said.read_text().splitlines()[1]
        assert address.startswith("file://wsl.localhost/Ubuntu/")
        file = Path(address.removeprefix("file://wsl.localhost/Ubuntu"))
        [keyed] = set(re.findall(r"http://127\.0\.0\.1:[^\"]+", file.read_text()))
        # The address by itself, which others may see, leads to no question.
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(keyed.rpartition("/")[0], timeout=DEADLINE)
        with refused.value:
            assert (refused.value.code, b"TOKEN" in refused.value.read()) == (403, False)
        enter(browser, file.as_uri(), "typed")
        assert answer_of(wire, "page").startswith("Stored 'TOKEN' (version 1).")
    assert not file.exists()


def test_from_wsl_a_browser_on_linux_comes_first_and_gets_the_key(machine: Machine, browser: Browser) -> None:
    project, stand_in_for_wsl = machine.project("api"), WslStandIn(make(machine.home / "wsl"))
    opened = machine.home / "opened"
    stand_in(stand_in_for_wsl.system / "firefox", f'printf %s "$1" > {opened}.draft; /bin/mv {opened}.draft {opened}')
    environment = {
        PLACES: f"{stand_in_for_wsl.system}:{make(machine.home / 'wsl' / 'none')}",
        KERNEL: str(stand_in_for_wsl.kernel),
        "WSL_DISTRO_NAME": "Ubuntu",
        "DISPLAY": ":77",
    }
    with connect(machine, project, {}, **environment) as wire:
        call = {"name": "input_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "page", "method": "tools/call", "params": call})
        end = time.monotonic() + DEADLINE
        while not opened.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        enter(browser, opened.read_text(), "typed")
        assert answer_of(wire, "page").startswith("Stored 'TOKEN' (version 1).")
    assert not stand_in_for_wsl.said.exists()


def test_a_client_whose_hooks_could_learn_the_address_is_not_told_it_where_the_browser_can_be_opened(
    machine: Machine,
) -> None:
    project = machine.project("api")
    programs = make(machine.home / "programs")
    opened = machine.home / "opened"
    stand_in(programs / "xdg-open", f'printf %s "$1" > {opened}.draft; /bin/mv {opened}.draft {opened}')
    environment = {PLACES: str(programs), "DISPLAY": ":77"}
    for client, told in (("claude-code", False), ("another", True)):
        opened.unlink(missing_ok=True)
        with Wire(PROGRAM, project, {**machine.environment, **environment}) as wire:
            wire.shake_hands(capabilities=URLS, client=client)
            call = {"name": "input_secret", "arguments": {"name": client}}
            wire.send({"jsonrpc": "2.0", "id": "page", "method": "tools/call", "params": call})
            if told:
                assert wire.receive()["method"] == "elicitation/create"
                continue
            end = time.monotonic() + DEADLINE
            while not opened.exists():
                assert time.monotonic() < end
                time.sleep(0.05)
            assert opened.read_text().startswith("http://127.0.0.1:")
            wire.send({"jsonrpc": "2.0", "id": "ping", "method": "ping"})
            assert wire.receive()["id"] == "ping", "nothing was said to the client before"
    assert not opened.exists()


def stand_in(path: Path, script: str) -> None:
    """A stand-in for a desktop program of that name."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("state", [None, "forged", "replayed"])
def test_an_answer_without_the_state_of_this_page_is_no_answer(machine: Machine, state: str | None) -> None:
    """In protocol 2026-07-28, a false claim of acceptance leads to a new question or an error. Nothing is stored."""
    with Wire(PROGRAM, machine.project("api"), machine.environment) as wire:
        first = modern(wire, {"name": "input_secret", "arguments": {"name": "TOKEN"}})
        assert first["result"]["resultType"] == "input_required"
        key = next(iter(first["result"]["inputRequests"]))
        params: dict[str, object] = {
            "name": "input_secret",
            "arguments": {"name": "OTHER"},
            "inputResponses": {key: {"action": "decline"}},
        }
        if state is not None:
            params["requestState"] = "forged" if state == "forged" else first["result"]["requestState"]
        again = modern(wire, params)
        assert "error" in again or again["result"]["resultType"] == "input_required"
        listed = modern(wire, {"name": "list_secrets", "arguments": {}})
        assert listed["result"]["structuredContent"]["total"] == 0


def modern(wire: Wire, params: dict[str, object]) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": URLS,
    }
    return wire.request("tools/call", {**params, "_meta": meta})


def test_the_clients_root_names_the_project(machine: Machine) -> None:
    project = machine.project("my api")
    wire = Wire(PROGRAM, machine.home, machine.environment)
    with wire:
        wire.shake_hands(capabilities={"roots": {"listChanged": True}})
        assert list_with_root(wire, project.as_uri())["structuredContent"]["total"] == 0
        wire.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
        other = machine.home / "work" / "plain"
        other.mkdir()
        assert "[NO_ALLOWLIST]" in json.dumps(list_with_root(wire, other.as_uri()))


def test_a_root_that_contradicts_the_environment_is_refused(machine: Machine) -> None:
    project, other = machine.project("api"), machine.project("other")
    wire = Wire(PROGRAM, machine.home, {**machine.environment, "CLAUDE_PROJECT_DIR": str(other)})
    with wire:
        wire.shake_hands(capabilities={"roots": {}})
        assert "[PROJECT_CONFLICT]" in json.dumps(list_with_root(wire, project.as_uri()))


def list_with_root(wire: Wire, uri: str) -> dict[str, Any]:
    """Call list_secrets, and answer the server's request for roots with one root."""
    call = {"name": "list_secrets", "arguments": {}}
    wire.send({"jsonrpc": "2.0", "id": "list", "method": "tools/call", "params": call})
    while (message := wire.receive()).get("id") != "list":
        assert message["method"] == "roots/list"
        wire.send({"jsonrpc": "2.0", "id": message["id"], "result": {"roots": [{"uri": uri}]}})
    result = message["result"]
    assert isinstance(result, dict)
    return result


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_a_directory_whose_name_is_not_unicode_is_told_of(machine: Machine) -> None:
    project = machine.project(os.fsdecode(b"proj\xff\n"))
    with connect(machine, project, URLS) as wire:
        call = {"name": "input_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": call})
        question = wire.receive()
        assert "/proj\ufffd. The value goes" in question["params"]["message"]
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
        assert answer_of(wire, "q").startswith("[CANCELLED]")


def test_what_could_not_be_stored_in_time_is_never_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    project = world.project("api")
    monkeypatch.setattr(app, "STORING_SECONDS", 0.1)
    server = app.App(project, str(world.path), {"XDG_RUNTIME_DIR": str(tmp_path)})
    release = threading.Event()
    busy = server._worker.submit(lambda: release.wait(DEADLINE))
    call = Call(tool=Tool.INPUT_SECRET, name="TOKEN")
    store = server._storing(lambda entered: server._gate.call(call, at(project), entered, client=""))
    question = InputQuestion(name="TOKEN", project=str(project))
    outcome = store(Entered(value="canary", access=Access.READABLE, question=question))
    assert isinstance(outcome, Refused)
    assert outcome.error.code is Code.STORE_BUSY
    release.set()
    assert busy.result(DEADLINE)
    server._worker.submit(server._gate.close).result(DEADLINE)
    assert Agent(world, project).names() == []
    world.close()


def test_a_page_that_could_not_be_opened_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine on which no socket can listen. On a real one, the server would fail before the page."""

    def no_server(_page: object) -> None:
        raise OSError

    monkeypatch.setattr(page, "PageServer", no_server)
    asker: Any = ValuePrompt(
        {}, lambda project: Dialogs(environment={}, forbidden=[project], platform="linux"), QuestionLimits()
    )
    for _ in range(PAGES_LIMIT + 1):
        with pytest.raises(InputError) as caught:
            anyio.run(asker.ask, None, None, InputQuestion(name="TOKEN", project="/work/api"), None)
        assert caught.value.code is Code.NO_INPUT_CHANNEL
