"""input_secret for a name that is not in the allowlist, over the wire: only the person's tick on our page adds it."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestURLParams, ElicitResult, TextContent

from claude_secrets.model import Channel
from claude_secrets.server.question_limits import UNANSWERED_LIMIT, NotAsked, QuestionLimits
from tests.support.agent_shells import ANSWERS_ITSELF, agent_runs
from tests.support.chromium import Browser
from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.page_client import Visitor

ERAS = ["legacy", "2026-07-28"]
URLS: dict[str, Any] = {"elicitation": {"url": {}}}
HASTY = [sys.executable, "-P", "-m", "tests.support.hasty_server"]
STORED = "Stored 'NEW' (version 1). The value went straight to the store. The person added the name to the allowlist."
CONTENT = b"""\
# Ours, with care.
allow:
- OLD   # an old one

policy: {version: "1", default: allow}
"""
ADDED = CONTENT.replace(b"an old one\n", b"an old one\n- NEW\n")


@pytest.fixture
def project(machine: Machine) -> Path:
    directory = machine.project("api")
    (directory / ".claude" / "secrets.yml").write_bytes(CONTENT)
    return directory


def content(project: Path) -> bytes:
    return (project / ".claude" / "secrets.yml").read_bytes()


def visitor(url: str) -> Visitor:
    return Visitor(SimpleNamespace(url=url, path="/" + url.rpartition("/")[2]))  # type: ignore[arg-type]  # a page of another process


def tick(url: str, **changed: str) -> str:
    """Visit the page, send the form with a tick, and return the page's answer."""
    person = visitor(url)
    person.claim()
    return person.post({"value": "typed", "access": "readable", "adds": "yes", "action": "store", **changed}).body


def cancel(url: str) -> str:
    person = visitor(url)
    person.claim()
    return person.post({"action": "cancel"}).body


def leave_unticked(url: str) -> str:
    """Send the form without the tick, as a browser does that ignores `required`. Then cancel."""
    person = visitor(url)
    person.claim()
    answer = person.post({"value": "canary", "access": "readable", "action": "store"})
    assert "canary" not in answer.body
    return answer.body + person.post({"action": "cancel"}).body


def session(
    machine: Machine, project: Path, mode: str, act: Callable[[str], str], *calls: str
) -> tuple[list[str], str]:
    """Call input_secret for the names with the official client. Return its texts and what the last page answered."""
    pages: list[str] = []
    words = {"command": PROGRAM[0], "args": PROGRAM[1:], "env": machine.environment, "cwd": str(project)}

    async def person(_context: object, params: object) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams), "only an address, never a form"
        assert "whether to add the name" in params.message
        pages.append(await anyio.to_thread.run_sync(partial(act, params.url)))
        return ElicitResult(action="accept")

    async def talk() -> list[str]:
        parameters = StdioServerParameters.model_validate(words)
        async with Client(parameters, mode=mode, elicitation_callback=person) as client:  # type: ignore[arg-type]  # the callback's context is not used
            said = []
            for name in calls:
                result = await client.call_tool("input_secret", {"name": name, "prompt": "please"})
                said += [block.text for block in result.content if isinstance(block, TextContent)]
            return said

    with anyio.from_thread.start_blocking_portal() as portal:
        return portal.call(talk), "\n".join(pages)


def connect(machine: Machine, project: Path, command: list[str] = PROGRAM, client: str = "test") -> Wire:
    environment = {**machine.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    wire = Wire(command, project, environment)
    wire.shake_hands(capabilities=URLS, client=client)
    return wire


def begin(wire: Wire, name: str) -> str:
    """Call input_secret, let the client open the page, and return the page's address. The call waits."""
    call = {"name": "input_secret", "arguments": {"name": name}}
    wire.send({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": call})
    question = wire.receive()
    assert question.get("method") == "elicitation/create", question
    wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
    return str(question["params"]["url"])


def end(wire: Wire, name: str) -> str:
    while (message := wire.receive()).get("id") != name:
        pass
    return str(message["result"]["content"][0]["text"])


def said(wire: Wire, name: str) -> str:
    return str(wire.call("input_secret", name=name)["content"][0]["text"])


@pytest.mark.parametrize("mode", ERAS)
def test_a_tick_adds_the_name_and_stores_the_value(machine: Machine, project: Path, mode: str) -> None:
    texts, page = session(machine, project, mode, tick, "NEW")
    assert texts == [STORED]
    assert "is stored (version 1). The name is now in this project's allowlist." in page.replace("&#x27;", "'")
    assert content(project) == ADDED
    with machine.server(project) as wire:
        assert wire.text("get_secret", name="NEW") == "typed"
    log = json.loads(machine.run("log", "--json", "--tool", "allow", at=project).stdout)
    assert [(event["caller"], event["name"], event["channel"]) for event in log] == [("person", "NEW", "page")]
    assert "allow NEW  you in ~/work/api; asked by page" in machine.run("log").stdout


@pytest.mark.parametrize("mode", ERAS)
def test_without_the_tick_nothing_is_stored_or_changed(machine: Machine, project: Path, mode: str) -> None:
    texts, page = session(machine, project, mode, leave_unticked, "NEW")
    assert texts[0].startswith("[CANCELLED]")
    assert "The box that adds NEW to the allowlist is not ticked, so nothing was stored or added." in page
    assert content(project) == CONTENT
    assert machine.run("list", "--json").stdout == "[]\n"


@pytest.mark.parametrize("mode", ERAS)
def test_a_refusal_on_the_page_is_remembered_also_by_other_servers(machine: Machine, project: Path, mode: str) -> None:
    texts, page = session(machine, project, mode, cancel, "NEW", "NEW")
    assert page.count("<h1>Cancelled</h1>") == 1, "the second call opened no page"
    assert [text.partition("]")[0] for text in texts] == ["[CANCELLED", "[CANCELLED"]
    assert "is not asked about this again for ten minutes" in texts[1]
    with machine.server(project) as wire:
        assert wire.code("input_secret", name="NEW") == "CANCELLED"
    log = json.loads(machine.run("log", "--json", "--denied", at=project).stdout)
    assert [(event["code"], event["channel"]) for event in log[:1]] == [("CANCELLED", "page")]


def test_a_person_in_a_real_browser_leaves_the_box_and_then_ticks_it(
    machine: Machine, project: Path, browser: Browser
) -> None:
    with connect(machine, project) as wire:
        url = begin(wire, "NEW")
        with browser.page(url) as page:
            page.get_by_role("button", name="Continue").click()
            box = page.get_by_role("checkbox", name="Add NEW to this project's allowlist")
            assert not box.is_checked()
            page.get_by_role("textbox").fill("typed")
            page.get_by_role("button", name="Store").click()
            assert box.evaluate("box => !box.validity.valid && document.activeElement === box")
            box.evaluate("box => box.required = false")
            page.get_by_role("button", name="Store").click()
            assert "not ticked, so nothing was stored or added" in page.get_by_role("alert").inner_text()
            assert page.get_by_role("textbox").input_value() == ""
            assert content(project) == CONTENT
            page.get_by_role("textbox").fill("typed")
            page.get_by_role("checkbox", name="Add NEW").check()
            page.get_by_role("button", name="Store").click()
            page.get_by_role("heading", name="Stored").wait_for()
        assert end(wire, "NEW") == STORED
    assert content(project) == ADDED
    assert machine.run("get", "NEW", at=project).stdout == "typed"


def test_a_call_that_waits_answers_as_always_and_a_later_call_gets_the_result(machine: Machine, project: Path) -> None:
    with connect(machine, project, [*HASTY, "600"]) as wire:
        url = begin(wire, "NEW")
        assert end(wire, "NEW").startswith("[WAITING]")
        assert "allowlist." in tick(url)
        assert said(wire, "NEW") == STORED


def test_what_is_cancelled_between_two_calls_is_cancelled(machine: Machine, project: Path) -> None:
    with connect(machine, project, [*HASTY, "600"]) as wire:
        url = begin(wire, "NEW")
        assert end(wire, "NEW").startswith("[WAITING]")
        cancel(url)
        assert said(wire, "NEW").startswith("[CANCELLED]")


def test_the_end_of_the_server_is_no_refusal(machine: Machine, project: Path) -> None:
    with connect(machine, project) as wire:
        begin(wire, "NEW")
    with connect(machine, project) as wire:
        begin(wire, "NEW")


def test_a_client_that_only_has_forms_is_not_asked(machine: Machine, project: Path) -> None:
    with Wire(PROGRAM, project, machine.environment) as wire:
        wire.shake_hands(capabilities={"elicitation": {"form": {}}})
        text = said(wire, "NEW")
        assert text.startswith("[NO_INPUT_CHANNEL]")
        assert "allow NEW, and then" in text
        assert not any(b"elicitation/create" in line for line in wire.said)
    assert content(project) == CONTENT


def test_a_client_whose_hooks_read_addresses_gets_no_address(machine: Machine, project: Path) -> None:
    with connect(machine, project, client="claude-code") as wire:
        assert wire.code("input_secret", name="NEW") == "NO_INPUT_CHANNEL"
        assert not any(b"elicitation/create" in line for line in wire.said)
        begin(wire, "OLD")


def test_below_an_agents_mark_the_call_is_refused_as_always(machine: Machine, project: Path) -> None:
    (machine.home / "answers.py").write_text(ANSWERS_ITSELF.replace('"PAGE"', '"NEW"'))
    done = agent_runs(machine, "$python ../../answers.py OTHER $cs", at=project.name)
    assert "[NOT_ALLOWLISTED] 'NEW'" in done.stdout, done
    assert "asked" not in done.stdout
    assert "input_secret asks" not in done.stdout
    assert content(project) == CONTENT


def test_a_clone_gets_no_right_to_another_projects_secret(machine: Machine, project: Path) -> None:
    """The machine has no dialog, so the person cannot consent."""
    other = machine.project("other")
    machine.keep("NEW", "canary", at=other)
    with connect(machine, project) as wire:
        url = begin(wire, "NEW")
        answer = tick(url)
        assert "<h1>Not stored</h1>" in answer
        assert str(other) not in answer
        assert end(wire, "NEW").startswith("[NOT_TRUSTED]")
    assert content(project) == CONTENT
    assert machine.run("get", "NEW", at=other).stdout == "canary"
    assert machine.run("projects").stdout == ""


def test_an_allowlist_that_a_clone_replaces_while_the_page_waits_is_not_edited(machine: Machine, project: Path) -> None:
    victim = machine.project("victim", ["THEIRS"])
    before = content(victim)
    with connect(machine, project) as wire:
        url = begin(wire, "NEW")
        (project / ".claude").rename(project / "moved")
        (project / ".claude").symlink_to(victim / ".claude")
        assert "<h1>Not stored</h1>" in tick(url)
        assert end(wire, "NEW").startswith("[ALLOWLIST_INVALID]")
    assert content(victim) == before
    assert (project / "moved" / "secrets.yml").read_bytes() == CONTENT


def test_no_more_than_three_such_pages_wait_and_each_name_has_one(machine: Machine, project: Path) -> None:
    with connect(machine, project) as wire:
        urls = [begin(wire, f"N{number}") for number in range(UNANSWERED_LIMIT)]
        assert len(set(urls)) == UNANSWERED_LIMIT
        assert wire.code("input_secret", name="MORE") == "WAITING"
        call = {"name": "input_secret", "arguments": {"name": "N0"}}
        wire.send({"jsonrpc": "2.0", "id": "again", "method": "tools/call", "params": call})
        question = wire.receive()
        assert question["params"]["url"] == urls[0]


def test_after_three_unanswered_pages_nobody_is_asked_for_ten_minutes(machine: Machine, project: Path) -> None:
    with connect(machine, project, [*HASTY, "0.2"]) as wire:
        for name in ("A", "B", "C"):
            begin(wire, name)
            assert end(wire, name).startswith("[TIMED_OUT]")
        text = said(wire, "D")
    assert text.startswith("[NOT_ALLOWLISTED]")
    assert "did not answer several questions" in text


def test_after_three_refusals_nobody_is_asked_for_that_project(machine: Machine, project: Path) -> None:
    with connect(machine, project) as wire:
        for name in ("A", "B", "C"):
            cancel(begin(wire, name))
            assert end(wire, name).startswith("[CANCELLED]")
        text = said(wire, "D")
        assert text.startswith("[NOT_ALLOWLISTED]")
        assert "refused three questions" in text
        cancel(begin(wire, "OLD"))


def test_a_client_that_declines_for_the_person_is_a_refusal(machine: Machine, project: Path) -> None:
    with connect(machine, project) as wire:
        call = {"name": "input_secret", "arguments": {"name": "NEW"}}
        wire.send({"jsonrpc": "2.0", "id": "NEW", "method": "tools/call", "params": call})
        question = wire.receive()
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
        assert end(wire, "NEW").startswith("[CANCELLED]")
        assert wire.code("input_secret", name="NEW") == "CANCELLED"
    assert content(project) == CONTENT


def test_limits_end_after_ten_minutes() -> None:
    now = [0.0]
    limits = QuestionLimits(lambda: now[0])
    limits.refused("p", ("p", "A"))
    assert limits.not_asked("p", [("p", "A")]) == NotAsked(Channel.NONE, said_no=True)
    assert limits.not_asked("p", [("p", "B")]) is None
    for _ in range(UNANSWERED_LIMIT):
        limits.unanswered()
    assert limits.not_asked("q", [("q", "A")]) is not None
    now[0] = 600.0
    assert limits.not_asked("p", [("p", "A")]) is None
    assert limits.not_asked("q", [("q", "A")]) is None
